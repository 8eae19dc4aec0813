import { hash } from "node:crypto";

/**
 * Names one chunk of one prefix: 128 bits as 32 lower-case hex digits. A key covers everything that
 * decides the chunk's bytes: the model and its layout, the tenant's salt and every token from
 * position 0 to the chunk's end. Equal on every machine and in every process.
 */
export type ChunkKey = string & { readonly __brand: "ChunkKey" };

const KEY_BYTES = 16;
const KEY_PATTERN = /^[0-9a-f]{32}$/;

export function isChunkKey(text: string): text is ChunkKey {
  return KEY_PATTERN.test(text);
}

/** What is stored under a key. */
export type ChunkKind =
  /** The KV of a range of tokens: usable at its own positions behind the same prefix. */
  | "tokens"
  /** What a sliding window or a recurrent layer knows at one boundary; empty, so absent, for dense models. */
  | "state"
  /** Bytes of another engine (the cache server's clients): nothing is known about them. */
  | "opaque";

/** A chunk's place in its prompt: tokens [start, end). */
export interface ChunkSpan {
  readonly key: ChunkKey;
  /** The chunk before it; undefined for the first. */
  readonly parent: ChunkKey | undefined;
  readonly start: number;
  readonly end: number;
}

export interface ChunkKeyOptions {
  /** 32 hex digits: weights, KV type, rope settings, layout. See ModelFingerprint. */
  readonly fingerprint: string;
  /** Keeps tenants apart; equal prompts under different salts share nothing. */
  readonly salt?: string | undefined;
  readonly chunkTokens: number;
}

/**
 * Chains SHA-256 over whole chunks: key[i] = H(key[i-1], tokens of chunk i), cut to 128 bits.
 * The first link binds model, salt and chunk size.
 */
export class ChunkKeyer {
  readonly chunkTokens: number;
  readonly #root: Buffer;

  constructor(options: ChunkKeyOptions) {
    this.chunkTokens = options.chunkTokens;
    const salt = Buffer.from(options.salt ?? "", "utf8");
    // Length-prefixed, so that no salt can imitate another field.
    this.#root = digest(
      Buffer.from(
        `warmkv-key-v1\0${options.fingerprint}\0${options.chunkTokens}\0${salt.length}\0`,
      ),
      salt,
    );
  }

  /**
   * The chunks of `tokens`, in prefix order.
   *
   * @param includeTail also the last partial chunk, whose key is that of exactly these tokens
   */
  spans(tokens: Int32Array, includeTail: boolean): ChunkSpan[] {
    const spans: ChunkSpan[] = [];
    let previous = this.#root;
    let parent: ChunkKey | undefined;
    for (let start = 0; start < tokens.length; start += this.chunkTokens) {
      const end = Math.min(start + this.chunkTokens, tokens.length);
      if (end - start < this.chunkTokens && !includeTail) break;
      previous = digest(previous, tokenBytes(tokens.subarray(start, end)));
      const key = previous.toString("hex") as ChunkKey;
      spans.push({ key, parent, start, end });
      parent = key;
    }
    return spans;
  }

  /** The partial chunk behind a whole one: the tokens [start, end). */
  tail(tokens: Int32Array, start: number, end: number, parent: ChunkKey | undefined): ChunkSpan {
    const previous = parent === undefined ? this.#root : Buffer.from(parent, "hex");
    const key = digest(previous, tokenBytes(tokens.subarray(start, end))).toString("hex");
    return { key: key as ChunkKey, parent, start, end };
  }
}

/** The key of the state part that belongs to the boundary at the end of the chunk `key`. */
export function stateKey(key: ChunkKey): ChunkKey {
  return digest(Buffer.from(key, "hex"), Buffer.from("state")).toString("hex") as ChunkKey;
}

function digest(...parts: Uint8Array[]): Buffer {
  return hash("sha256", Buffer.concat(parts), "buffer").subarray(0, KEY_BYTES);
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Token ids as they are hashed and stored: little-endian int32, whatever the machine. Without a copy where it is so. */
export function tokenBytes(tokens: Int32Array): Uint8Array {
  const bytes = Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return isLittleEndian ? bytes : Buffer.from(bytes).swap32();
}
