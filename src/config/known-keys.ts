/**
 * LMCache's keys that mean nothing here, those of its earlier releases included. They are recognised
 * so that a file written for it starts with one clear warning and not with a guess at a typing error.
 */
const UNSUPPORTED_KEYS: ReadonlySet<string> = new Set(
  `
  local_cpu_use_hugepages reserve_local_cpu_size use_layerwise
  enable_blending blend_recompute_ratios blend_thresholds blend_check_layers blend_min_tokens
  blend_special_str blend_recompute_ratio blend_separator
  enable_p2p p2p_host p2p_init_ports p2p_lookup_ports peer_init_ports peer_lookup_ports
  lookup_url distributed_url
  mp_host mp_port
  enable_controller controller_pull_url controller_reply_url lmcache_worker_ports
  lmcache_worker_ids lmcache_worker_heartbeat_delay_time lmcache_worker_heartbeat_time
  enable_pd pd_role pd_buffer_size pd_buffer_device pd_peer_host pd_peer_init_port
  pd_peer_alloc_port pd_peer_query_port pd_proxy_host pd_proxy_port pd_allocation_timeout_sec
  pd_shutdown_timeout_sec pd_condition_poll_interval_sec pd_max_prefill_len pd_backend_mode
  pd_skip_proxy_notification pd_bidirectional
  transfer_channel enable_nixl nixl_backends nixl_buffer_device nixl_peer_port nixl_receiver_host
  nixl_receiver_port nixl_enable_gc
  gds_path gds_path_sharding gds_buffer_size use_gds gds_backend weka_path cufile_buffer_size
  maru_path maru_pool_size
  audit_actual_remote_url
  internal_api_server_enabled internal_api_server_host internal_api_server_port_start
  internal_api_server_include_index_list internal_api_server_socket_path_prefix
  external_lookup_client py_enable_gc cost_aware_half_life_seconds cost_aware_ewma_alpha numa_mode
  enable_async_loading runtime_plugin_locations storage_plugins remote_storage_plugins
  lookup_timeout_ms hit_miss_ratio lookup_server_worker_ids enable_scheduler_bypass_lookup
  script_allowed_imports
  enable_lazy_memory_allocator lazy_memory_initial_ratio lazy_memory_expand_trigger_ratio
  lazy_memory_step_ratio lazy_memory_safe_size
  enable_chunk_statistics chunk_statistics_auto_start_statistics
  chunk_statistics_auto_exit_timeout_hours chunk_statistics_auto_exit_target_unique_chunks
  chunk_statistics_strategy enable_kv_events use_gpu_connector_v3
  remote_config_url app_id
  enable_hidden_state_cache max_hidden_state_cpu_size hidden_state_layers
  hidden_states_retrieve_mode
  error_handling local_device pipelined_backend runtime_plugin_config
`
    .trim()
    .split(/\s+/),
);

/** Families: the encoder cache, the multi-process connector, its RESP adapter. */
const UNSUPPORTED_FAMILY = /^(ec$|ec_|mp\.|resp_)/;

/** Names that LMCache once used or accepts beside the present ones. */
const OLD_NAMES: ReadonlyMap<string, string> = new Map([
  ["enable_xpyd", "enable_pd"],
  ["nixl_peer_host", "pd_peer_host"],
  ["nixl_peer_init_port", "pd_peer_init_port"],
  ["nixl_peer_alloc_port", "pd_peer_alloc_port"],
  ["nixl_proxy_host", "pd_proxy_host"],
  ["nixl_proxy_port", "pd_proxy_port"],
  ["nixl_buffer_size", "pd_buffer_size"],
  ["nixl_role", "pd_role"],
  ["controller_url", "controller_pull_url"],
  ["lmcache_worker_port", "lmcache_worker_ports"],
  ["plugin_locations", "runtime_plugin_locations"],
  ["external_backends", "storage_plugins"],
]);

/** Variables of the environment that are no settings of the cache, or say what is so anyway. */
const ENVIRONMENT_ONLY: ReadonlySet<string> = new Set([
  "config_file",
  "use_experimental",
  "log_level",
  "force_skip_save",
  "track_usage",
]);

export function unsupportedKeys(): string[] {
  return [...UNSUPPORTED_KEYS].toSorted();
}

export function isUnsupported(key: string): boolean {
  return UNSUPPORTED_KEYS.has(key) || UNSUPPORTED_FAMILY.test(key);
}

export function presentName(key: string): string | undefined {
  return OLD_NAMES.get(key);
}

export function isEnvironmentOnly(key: string): boolean {
  return ENVIRONMENT_ONLY.has(key);
}
