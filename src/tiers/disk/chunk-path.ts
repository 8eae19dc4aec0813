import { createHash } from "node:crypto";
import { type ChunkKey, isChunkKey } from "../../core/index.ts";

/** What the name of a chunk's file says beside its key, so that `ls` shows what is cached. */
export interface ChunkNaming {
  readonly format: string;
  readonly modelName: string;
  readonly worldSize: number;
  readonly workerId: number;
}

const EXTENSION = ".kv";
/** File systems allow 255; room is left for what backup tools append. */
const MAX_NAME_BYTES = 200;
const KEY_CHARACTERS = 32;
const NAME_PATTERN = /^([\w.-]+@[\w.~-]+@\d+@\d+@)([0-9a-f]{32})\.kv$/;

/**
 * `<format>@<model>@<world size>@<worker id>@`: the names of one model's chunks begin with it.
 *
 * @param maxNameBytes of a whole name, with key and extension
 */
export function chunkNamePrefix(
  naming: ChunkNaming,
  maxNameBytes: number = MAX_NAME_BYTES,
): string {
  const format = safe(naming.format).slice(0, 32);
  const tail = `@${naming.worldSize}@${naming.workerId}@`;
  const room = maxNameBytes - format.length - 1 - tail.length - KEY_CHARACTERS - EXTENSION.length;
  return `${format}@${shortened(safe(naming.modelName), room)}${tail}`;
}

/** @throws RangeError for anything but a chunk key: a path is never made from raw input */
export function chunkFileName(prefix: string, key: ChunkKey): string {
  if (!isChunkKey(key)) {
    throw new RangeError(`Cannot name a file after "${String(key)}": wanted 32 hex digits`);
  }
  return prefix + key + EXTENSION;
}

/** The parts of a name that `chunkFileName` made; undefined for any other. */
export function parseChunkFileName(
  name: string,
): { readonly prefix: string; readonly key: ChunkKey } | undefined {
  const match = NAME_PATTERN.exec(name);
  if (match === null) return undefined;
  // Copies: a slice would keep the whole name alive for as long as the index holds the key.
  const key = Buffer.from(match[2]!, "latin1").toString("latin1") as ChunkKey;
  return { prefix: match[1]!, key };
}

/** As LMCache writes them, "/" is "-"; what else could hurt a path or a shell is "_". */
function safe(text: string): string {
  return text.replaceAll("/", "-").replaceAll(/[^\w.-]/g, "_") || "_";
}

function shortened(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  const digest = createHash("sha256").update(text).digest("hex").slice(0, 8);
  return `${text.slice(0, maxCharacters - digest.length - 1)}~${digest}`;
}
