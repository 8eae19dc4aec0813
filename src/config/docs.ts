import { showValue } from "./describe.ts";
import { extraSettings } from "./extra-config.ts";
import { unsupportedKeys } from "./known-keys.ts";
import { settings, type Setting } from "./schema.ts";
import { environmentName, optionName } from "./source.ts";

/** The text of docs/configuration.md. A test keeps the file equal to it. */
export function renderConfigurationDocs(): string {
  return [INTRODUCTION, settingsTable(), EXTRA_CONFIG, extraTable(), VALUES, unsupported()].join(
    "\n\n",
  );
}

const INTRODUCTION = `# Configuration of the cache

The settings have LMCache's names, types and defaults, so its documents and its files apply. One default
differs: \`save_unfull_chunk\` is true. Each setting is taken from the last of these places that has it:

1. the default below;
2. a YAML file, named by \`LMCACHE_CONFIG_FILE\`;
3. environment variables: \`LMCACHE_\` and the key in capitals;
4. options of the library (the key in camel case) and entries \`lmcache.<key>\` of
   \`kv_connector_extra_config\` in \`--kv-transfer-config\`.

From the environment:

\`\`\`sh
LMCACHE_MAX_LOCAL_CPU_SIZE=20 LMCACHE_LOCAL_DISK=/var/cache/kv LMCACHE_MAX_LOCAL_DISK_SIZE=100 \\
  warmkv serve model.gguf --kv-transfer-config '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'
\`\`\`

From a file:

\`\`\`yaml
chunk_size: 256
local_cpu: true
max_local_cpu_size: 20
local_disk: "file:///var/cache/kv/"
max_local_disk_size: 100
cache_policy: LRU
extra_config: {'use_odirect': True}
\`\`\`

\`\`\`sh
LMCACHE_CONFIG_FILE=cache.yaml warmkv serve model.gguf --kv-transfer-config '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'
\`\`\`

From the library:

\`\`\`ts
import { LLM } from "warmkv";
const cache = { maxLocalCpuSize: "20GiB", localDisk: "/var/cache/kv", maxLocalDiskSize: "100GiB" };
await using llm = await LLM.load("model.gguf", { cache });
\`\`\`

From the command line:

\`\`\`sh
warmkv serve model.gguf --kv-transfer-config '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both","kv_connector_extra_config":{"lmcache.chunk_size":128,"lmcache.max_local_cpu_size":"512MiB"}}'
\`\`\`

## Keys`;

const EXTRA_CONFIG = `### extra_config

A map: in a file as YAML, elsewhere as YAML, JSON or a Python dict literal in one line. It is taken as a
whole: a later place replaces the map of an earlier one. Entries that are not listed here are kept for
remote tiers.`;

const VALUES = `## How values are read

**Sizes** are GB, and one GB is 1024^3 bytes. A unit may follow, in any case: B, or K, M, G or T,
alone or with B, i or iB behind it; all are powers of 1024.

\`\`\`yaml
max_local_cpu_size: 0.5
max_local_disk_size: "20Gi"
\`\`\`

**Booleans** are true, false, 1, 0, yes, no, on or off, in any case.

**Seconds** may have a fraction.

**Names** (of policies, tiers and the like) are read in any case.

**Lists** are YAML lists or text with commas.

\`\`\`yaml
retrieve_locations: [LocalCPUBackend, LocalDiskBackend]
store_location: LocalDiskBackend
local_disk: /var/cache/kv
max_local_disk_size: 10
\`\`\`

**None**, null or nothing behind the key asks for the default. An empty environment variable counts as
not set.

**local_disk** is a path, or \`file://\` and a path, or several of either with commas between them.
\`file:///var/cache/kv/\` is absolute, \`file://cache/kv/\` and \`cache/kv\` start from the working
directory, \`~/cache/kv\` and \`file://~/cache/kv/\` from the home directory. \`false\` means no disk tier.

\`\`\`sh
export LMCACHE_LOCAL_DISK="file:///mnt/nvme0/kv,file:///mnt/nvme1/kv"
export LMCACHE_MAX_LOCAL_DISK_SIZE=4000
warmkv serve model.gguf
\`\`\`

**extra_config** in the environment may have any of these forms. In the last two the shell takes the
quotes away, which is understood; without the outer quotes it also cuts the text at spaces and commas,
which is not.

\`\`\`sh
export LMCACHE_EXTRA_CONFIG='{"use_odirect": true, "disk_io_threads": 8}'
warmkv serve model.gguf
export LMCACHE_EXTRA_CONFIG="{'use_odirect': True, 'disk_io_threads': 8}"
warmkv serve model.gguf
export LMCACHE_EXTRA_CONFIG='use_odirect: true'
warmkv serve model.gguf
export LMCACHE_EXTRA_CONFIG='{'use_odirect': True}'
warmkv serve model.gguf
export LMCACHE_EXTRA_CONFIG={"use_odirect":true}
warmkv serve model.gguf
\`\`\`

## Errors and warnings

A value that cannot be understood stops the start, with exit code 2 and a sentence that names the key,
the value, where it comes from and what was wanted:

\`\`\`text
Cannot use max_local_cpu_size "abc" from environment variable LMCACHE_MAX_LOCAL_CPU_SIZE: wanted a number of GB above 0, or a number with a unit, such as 5, 0.5 or "20Gi"
Cannot use chunk_size "0" from environment variable LMCACHE_CHUNK_SIZE: wanted a whole number from 1 to 65536
\`\`\`

These are warnings in the log, and the start goes on:

- a key that nobody knows, with the nearest one that exists (an error among the library's options);
- keys of LMCache that mean nothing here, in one line (none for those that are switched off);
- settings that do not fit together: a disk without a size or a size without a disk, no tier at all, a
  \`store_location\` or \`retrieve_locations\` that is off, a \`remote_serde\` without a \`remote_url\`.

\`LMCACHE_USE_EXPERIMENTAL\` and \`LMCACHE_TRACK_USAGE\` are accepted and have no effect.
\`LMCACHE_LOG_LEVEL\` is the default of \`--log-level\`; \`LMCACHE_FORCE_SKIP_SAVE\`, with any value, loads and does not store.`;

function settingsTable(): string {
  const rows = (Object.values(settings) as Setting<unknown>[]).map(
    (setting) =>
      `| \`${setting.key}\` | \`${environmentName(setting.key)}\` | \`${optionName(setting.key)}\` | ${setting.type.name} | ${showDefault(setting)} | ${setting.doc} |`,
  );
  return `| in a file | in the environment | in the library | type | default | meaning |\n|---|---|---|---|---|---|\n${rows.join("\n")}`;
}

function showDefault(setting: Setting<unknown>): string {
  const shown = showValue(setting, setting.default);
  return shown === "None" || setting.type.name === "map" ? "" : shown;
}

function extraTable(): string {
  const rows = Object.entries(extraSettings).map(
    ([key, { type, default: value, doc }]) =>
      `| \`${key}\` | ${type.name} | ${value === undefined ? "" : type.show(value as NonNullable<unknown>)} | ${doc} |`,
  );
  return `| entry | type | default | meaning |\n|---|---|---|---|\n${rows.join("\n")}`;
}

function unsupported(): string {
  const keys = unsupportedKeys().map((key) => `\`${key}\``);
  return `## Keys of LMCache that are not supported\n\n${keys.join(", ")}, and all that start with \`ec_\`, \`mp.\` or \`resp_\`.\n`;
}
