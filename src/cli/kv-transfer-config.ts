import { z } from "zod";
import type { KvRole } from "../connector/index.ts";
import { UsageError } from "../core/index.ts";

/** What --kv-transfer-config asks for. */
export interface KvTransferConfig {
  /** False: the JSON names no connector. */
  readonly isCacheOn: boolean;
  readonly role: KvRole;
  /** Settings of the cache under "lmcache.<key>". */
  readonly extraConfig: Readonly<Record<string, unknown>>;
}

const CONNECTOR = "LMCacheConnectorV1";
const ROLES = ["kv_both", "kv_producer", "kv_consumer"] as const;
const FLAG = "--kv-transfer-config";

const schema = z.strictObject({
  kv_connector: z.literal(CONNECTOR, { error: `wanted "${CONNECTOR}"` }).nullish(),
  kv_role: z.enum(ROLES, { error: `wanted one of ${ROLES.join(", ")}` }).nullish(),
  kv_connector_extra_config: z
    .record(z.string(), z.unknown(), { error: "wanted a JSON object" })
    .nullish(),
  // vLLM's way of finding peers, which this connector does not need.
  engine_id: z.string().nullish(),
  kv_buffer_device: z.string().nullish(),
  kv_buffer_size: z.number().nullish(),
  kv_rank: z.number().nullish(),
  kv_parallel_size: z.number().nullish(),
  kv_ip: z.string().nullish(),
  kv_port: z.number().nullish(),
});

/** @throws UsageError that names the key, its value and what was wanted */
export function parseKvTransferConfig(text: string): KvTransferConfig {
  const result = schema.safeParse(parseJson(text));
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new UsageError(`Cannot use ${FLAG} ${text}: ${sentence(issue)}`, { param: FLAG });
  }
  const { kv_connector: connector, kv_role: role, kv_connector_extra_config: extra } = result.data;
  return { isCacheOn: connector != null, role: role ?? "kv_both", extraConfig: extra ?? {} };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const example = `'{"kv_connector":"${CONNECTOR}","kv_role":"kv_both"}'`;
    throw new UsageError(`Cannot read ${FLAG} "${text}" as JSON: wanted ${example}`, {
      param: FLAG,
      cause: error,
    });
  }
}

function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys") return `unknown key "${issue.keys[0]}"`;
  const wanted = issue.message.replace(/^Invalid input: expected/, "wanted");
  return issue.path.length === 0 ? wanted : `${issue.path.join(".")}: ${wanted}`;
}
