import type { MetadataRow } from "./family.ts";
import { count } from "./metadata.ts";

export const NUM_INDEX_HEADS = 4;
export const INDEX_LENGTH = 64;
/**
 * Attention looks at so many keys that an indexer picks, as in DeepSeek-V3.2. A random indexer knows nothing of
 * what attention will like: where it has to leave keys out, rounding changes answers a lot.
 */
const INDEX_TOP_KEYS = 2048;

/** Of an indexer that picks single keys. */
export function indexerMetadata(): MetadataRow[] {
  return [
    ["attention.indexer.head_count", count(NUM_INDEX_HEADS)],
    ["attention.indexer.key_length", count(INDEX_LENGTH)],
    ["attention.indexer.top_k", count(INDEX_TOP_KEYS)],
  ];
}
