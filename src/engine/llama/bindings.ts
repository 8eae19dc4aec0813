import { koffi } from "../../native/index.ts";

/**
 * The part of llama.cpp's C API that we call, as of release v0.5.0 (npm @node-llama-cpp/* 3.22.1).
 * Struct layouts belong to that release and to no other: `verifyLayouts` in library.ts checks them at
 * start-up. Everything that depends on the release is in this file.
 */
export const LLAMA_RELEASE = "v0.5.0";
export const LLAMA_VERSION_PATTERN: RegExp = /^0\.5\.0/;

/** GGML's element types that a KV cache may have, by the name users type. */
export const KV_TYPES: Readonly<Record<string, { readonly id: number; readonly dtype: string }>> = {
  f32: { id: 0, dtype: "float" },
  f16: { id: 1, dtype: "half" },
  bf16: { id: 30, dtype: "bfloat16" },
  q8_0: { id: 8, dtype: "q8_0" },
  q4_0: { id: 2, dtype: "q4_0" },
  q4_1: { id: 3, dtype: "q4_1" },
  q5_0: { id: 6, dtype: "q5_0" },
  q5_1: { id: 7, dtype: "q5_1" },
  iq4_nl: { id: 20, dtype: "iq4_nl" },
};

export const FLASH_ATTENTION_ENABLED = 1;
/** A vector for each token. */
export const POOLING_NONE = 0;
/** `llama_state_seq_*_ext`: only the sliding window or the recurrent state. */
export const STATE_PARTIAL_ONLY = 1;

const modelParams = koffi.struct("llama_model_params", {
  devices: "void *",
  tensor_buft_overrides: "void *",
  n_gpu_layers: "int32",
  split_mode: "int32",
  load_mode: "int32",
  lazy_mode: "int32",
  main_gpu: "int32",
  tensor_split: "void *",
  progress_callback: "void *",
  progress_callback_user_data: "void *",
  kv_overrides: "void *",
  vocab_only: "bool",
  check_tensors: "bool",
  use_extra_bufts: "bool",
  no_host: "bool",
  no_alloc: "bool",
  load_mtp: "bool",
});

const contextParams = koffi.struct("llama_context_params", {
  n_ctx: "uint32",
  n_batch: "uint32",
  n_ubatch: "uint32",
  n_seq_max: "uint32",
  n_rs_seq: "uint32",
  n_outputs_max: "uint32",
  n_outputs_max_per_seq: "uint32",
  n_threads: "int32",
  n_threads_batch: "int32",
  ctx_type: "int32",
  rope_scaling_type: "int32",
  pooling_type: "int32",
  attention_type: "int32",
  flash_attn_type: "int32",
  rope_freq_base: "float",
  rope_freq_scale: "float",
  yarn_ext_factor: "float",
  yarn_attn_factor: "float",
  yarn_beta_fast: "float",
  yarn_beta_slow: "float",
  yarn_orig_ctx: "uint32",
  defrag_thold: "float",
  cb_eval: "void *",
  cb_eval_user_data: "void *",
  type_k: "int32",
  type_v: "int32",
  abort_callback: "void *",
  abort_callback_data: "void *",
  embeddings: "bool",
  offload_kqv: "bool",
  no_perf: "bool",
  op_offload: "bool",
  swa_full: "bool",
  kv_unified: "bool",
  samplers: "void *",
  n_samplers: "size_t",
  ctx_other: "void *",
});

koffi.struct("llama_batch", {
  n_tokens: "int32",
  token: "void *",
  embd: "void *",
  pos: "void *",
  n_seq_id: "void *",
  seq_id: "void *",
  logits: "void *",
});

koffi.struct("llama_sampler_chain_params", { no_perf: "bool" });

/** The part of each struct that is known to be so in this release, for the check at start-up. */
export const EXPECTED_LAYOUT: {
  readonly sizes: ReadonlyMap<ReturnType<typeof koffi.struct>, number>;
  readonly modelDefaults: Readonly<Record<string, unknown>>;
  readonly contextDefaults: Readonly<Record<string, unknown>>;
} = {
  sizes: new Map([
    [modelParams, 80],
    [contextParams, 160],
  ]),
  modelDefaults: {
    n_gpu_layers: -1,
    split_mode: 1,
    load_mode: -1,
    lazy_mode: 1,
    use_extra_bufts: true,
  },
  contextDefaults: {
    n_ctx: 512,
    n_batch: 2048,
    n_ubatch: 512,
    n_seq_max: 1,
    n_threads: 4,
    flash_attn_type: -1,
    type_k: 1,
    type_v: 1,
    offload_kqv: true,
    swa_full: true,
    kv_unified: false,
  },
};

export type ModelParams = Record<string, unknown>;
export type ContextParams = Record<string, unknown>;
/** An opaque native pointer. */
export type Pointer = bigint;

const logCallback = koffi.proto("void llama_log_callback(int level, const char *text, void *data)");
export const logCallbackPointer: ReturnType<typeof koffi.pointer> = koffi.pointer(logCallback);

const SIGNATURES = {
  llama_version: "const char *llama_version()",
  llama_log_set: "void llama_log_set(void *callback, void *data)",
  llama_backend_init: "void llama_backend_init()",
  llama_model_default_params: "llama_model_params llama_model_default_params()",
  llama_context_default_params: "llama_context_params llama_context_default_params()",
  llama_model_load_from_file:
    "void *llama_model_load_from_file(const char *path, llama_model_params params)",
  llama_model_free: "void llama_model_free(void *model)",
  llama_init_from_model: "void *llama_init_from_model(void *model, llama_context_params params)",
  llama_free: "void llama_free(void *context)",
  llama_n_ctx: "uint32 llama_n_ctx(void *context)",
  llama_get_memory: "void *llama_get_memory(void *context)",
  llama_set_n_threads: "void llama_set_n_threads(void *context, int32 decode, int32 prefill)",
  llama_decode: "int llama_decode(void *context, llama_batch batch)",
  llama_synchronize: "void llama_synchronize(void *context)",
  llama_get_logits_ith: "void *llama_get_logits_ith(void *context, int32 index)",
  llama_get_embeddings: "void *llama_get_embeddings(void *context)",

  llama_model_get_vocab: "void *llama_model_get_vocab(void *model)",
  llama_model_n_ctx_train: "int32 llama_model_n_ctx_train(void *model)",
  llama_model_n_embd_out: "int32 llama_model_n_embd_out(void *model)",
  llama_model_n_layer: "int32 llama_model_n_layer(void *model)",
  llama_model_n_swa: "int32 llama_model_n_swa(void *model)",
  llama_model_n_params: "uint64 llama_model_n_params(void *model)",
  llama_model_size: "uint64 llama_model_size(void *model)",
  llama_model_rope_type: "int32 llama_model_rope_type(void *model)",
  llama_model_is_recurrent: "bool llama_model_is_recurrent(void *model)",
  llama_model_is_hybrid: "bool llama_model_is_hybrid(void *model)",
  llama_model_is_diffusion: "bool llama_model_is_diffusion(void *model)",
  llama_model_has_encoder: "bool llama_model_has_encoder(void *model)",
  llama_model_meta_val_str:
    "int llama_model_meta_val_str(void *model, const char *key, _Out_ uint8_t *buffer, size_t size)",

  llama_adapter_lora_init: "void *llama_adapter_lora_init(void *model, const char *path)",
  llama_adapter_get_alora_n_invocation_tokens:
    "uint64 llama_adapter_get_alora_n_invocation_tokens(void *adapter)",
  llama_set_adapters_lora:
    "int32 llama_set_adapters_lora(void *context, void *adapters, size_t count, void *scales)",

  llama_memory_clear: "void llama_memory_clear(void *memory, bool data)",
  llama_memory_seq_rm: "bool llama_memory_seq_rm(void *memory, int sequence, int start, int end)",
  llama_memory_seq_cp:
    "void llama_memory_seq_cp(void *memory, int from, int to, int start, int end)",
  llama_memory_seq_pos_min: "int llama_memory_seq_pos_min(void *memory, int sequence)",
  llama_memory_seq_pos_max: "int llama_memory_seq_pos_max(void *memory, int sequence)",
  llama_state_seq_get_size_ext:
    "size_t llama_state_seq_get_size_ext(void *context, int sequence, uint32 flags)",
  llama_state_seq_get_data_ext:
    "size_t llama_state_seq_get_data_ext(void *context, void *target, size_t size, int sequence, uint32 flags)",
  llama_state_seq_set_data_ext:
    "size_t llama_state_seq_set_data_ext(void *context, void *source, size_t size, int sequence, uint32 flags)",

  llama_vocab_n_tokens: "int32 llama_vocab_n_tokens(void *vocab)",
  llama_vocab_bos: "int32 llama_vocab_bos(void *vocab)",
  llama_vocab_eos: "int32 llama_vocab_eos(void *vocab)",
  llama_vocab_get_add_bos: "bool llama_vocab_get_add_bos(void *vocab)",
  llama_vocab_is_eog: "bool llama_vocab_is_eog(void *vocab, int32 token)",
  llama_vocab_is_control: "bool llama_vocab_is_control(void *vocab, int32 token)",
  llama_tokenize:
    "int32 llama_tokenize(void *vocab, void *text, int32 length, void *tokens, int32 capacity, bool addSpecial, bool parseSpecial)",
  llama_token_to_piece:
    "int32 llama_token_to_piece(void *vocab, int32 token, _Out_ uint8_t *buffer, int32 length, int32 strip, bool special)",

  llama_sampler_chain_init: "void *llama_sampler_chain_init(llama_sampler_chain_params params)",
  llama_sampler_chain_add: "void llama_sampler_chain_add(void *chain, void *sampler)",
  llama_sampler_free: "void llama_sampler_free(void *sampler)",
  llama_sampler_accept: "void llama_sampler_accept(void *sampler, int32 token)",
  llama_sampler_apply: "void llama_sampler_apply(void *sampler, void *candidates)",
  llama_sampler_sample: "int32 llama_sampler_sample(void *sampler, void *context, int32 index)",
  llama_sampler_init_greedy: "void *llama_sampler_init_greedy()",
  llama_sampler_init_dist: "void *llama_sampler_init_dist(uint32 seed)",
  llama_sampler_init_top_k: "void *llama_sampler_init_top_k(int32 k)",
  llama_sampler_init_top_p: "void *llama_sampler_init_top_p(float p, size_t minKeep)",
  llama_sampler_init_min_p: "void *llama_sampler_init_min_p(float p, size_t minKeep)",
  llama_sampler_init_temp: "void *llama_sampler_init_temp(float temperature)",
  llama_sampler_init_penalties:
    "void *llama_sampler_init_penalties(int32 vocabSize, int32 lastN, float repeat, float frequency, float presence)",
  llama_sampler_init_logit_bias:
    "void *llama_sampler_init_logit_bias(int32 vocabSize, int32 count, void *biases)",
  llama_sampler_init_grammar:
    "void *llama_sampler_init_grammar(void *vocab, const char *grammar, const char *root)",
} as const;

type NativeFunction = ReturnType<ReturnType<typeof koffi.load>["func"]>;

/** Each function under its C name. Calls are synchronous; `.async` runs on koffi's threads. */
export type LlamaFunctions = Readonly<Record<keyof typeof SIGNATURES, NativeFunction>>;

export function bindFunctions(library: ReturnType<typeof koffi.load>): LlamaFunctions {
  return Object.fromEntries(
    Object.entries(SIGNATURES).map(([name, signature]) => [name, library.func(signature)]),
  ) as LlamaFunctions;
}
