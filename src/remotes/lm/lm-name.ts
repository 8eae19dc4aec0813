import { createHash } from "node:crypto";
import { LM_KEY_BYTES } from "../../protocol/index.ts";

/** The shape of a server's keys. */
export type LmKeyStyle =
  /** model@world size@worker@hash@dtype. Of ours, and of LMCache's from late 2025 on. */
  | "current"
  /** engine@model@world size@worker@hash. */
  | "2025";

const LMCACHE_KEY: Record<LmKeyStyle, RegExp> = {
  current: /^(?!warmkv@)[^@\s]+@\d+@\d+@[0-9a-f]+@[a-z][a-z0-9_]*(@[^@\s]+)*$/,
  "2025": /^(?!vllm@warmkv@)[^@\s]+@[^@\s]+@\d+@\d+@[0-9a-f]+(@[^@\s]+)*$/,
};
const CHUNK_KEY = /^[0-9a-f]{32}$/;

/**
 * The key that a name has on the wire. LMCache's server takes keys of its own shape only, of at most 150 bytes: one
 * that is such a key goes as it is, everything else as a key of the model "warmkv" whose hash is made from the name.
 */
export function lmKeyOf(name: string, style: LmKeyStyle): string {
  // The worker keeps the two apart, so that no name can be made to look like another's hash.
  if (CHUNK_KEY.test(name)) return keyOf(0, name, style);
  if (LMCACHE_KEY[style].test(name) && Buffer.byteLength(name) <= LM_KEY_BYTES) return name;
  return keyOf(1, createHash("sha256").update(name).digest("hex").slice(0, 32), style);
}

function keyOf(worker: number, hash: string, style: LmKeyStyle): string {
  return style === "current"
    ? `warmkv@1@${worker}@${hash}@uint8`
    : `vllm@warmkv@1@${worker}@${hash}`;
}
