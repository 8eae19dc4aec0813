import { createHash } from "node:crypto";
import type { CacheConfig } from "../config/index.ts";
import type { EngineKvLayout } from "../connector/connector.ts";
import type { Logger } from "../core/index.ts";

/**
 * The layout of a cache whose remote tier stores KV in 8 bits: with a fingerprint of its own, since what is loaded from
 * there is not what the model has computed, nor is what is computed behind it. Neither is ever taken for exact KV, in
 * any tier, by any process.
 *
 * @returns the layout as it is where that is not asked for, or cannot be; then the log says why
 */
export function layoutWithSerde(
  { remoteSerde, remoteUrl }: CacheConfig,
  layout: EngineKvLayout,
  logger: Logger,
): EngineKvLayout {
  const exact = { ...layout, findHalfRows: undefined };
  if (remoteSerde !== "int8" || remoteUrl === undefined) return exact;
  if (layout.findHalfRows === undefined) {
    logger.warn(
      `remote_serde int8 is for models with attention over all tokens and a KV cache of f16, which ` +
        `${layout.modelName} is not: chunks are stored as they are (naive)`,
    );
    return exact;
  }
  const hash = createHash("sha256").update(`warmkv-int8-v1\0${layout.fingerprint}`);
  return { ...layout, fingerprint: hash.digest("hex").slice(0, layout.fingerprint.length) };
}
