import type { KvBuffer } from "../../memory/index.ts";

/** The form that chunks have in a remote store. */
export interface ChunkSerde {
  /** Stands in front of the names of all values of this form: no two forms share a name. */
  readonly format: string;

  /**
   * What to put for a sealed chunk. The caller disposes it.
   *
   * @returns undefined without memory to make it in
   */
  encode(chunk: KvBuffer): Promise<KvBuffer | undefined>;

  /** Where in a slab a value of this length is to be read to, for `decode`. */
  place(slab: Uint8Array, byteLength: number): Uint8Array;

  /**
   * Turns the value that was read into the chunk, in the same slab, and gives the buffer its length.
   *
   * @returns false when it is no whole value of this form; what the buffer holds is then of no use
   */
  decode(buffer: KvBuffer, byteLength: number): Promise<boolean>;
}

/** Chunks as they are. */
export const naiveSerde: ChunkSerde = {
  format: "warmkv",
  encode: (chunk) => Promise.resolve(chunk.retain()),
  place: (slab, byteLength) => slab.subarray(0, byteLength),
  decode: (buffer, byteLength) => {
    buffer.resize(byteLength);
    return Promise.resolve(true);
  },
};
