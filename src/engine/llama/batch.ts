import { koffi } from "../../native/index.ts";

/**
 * The tokens of one forward pass, in native memory that is reused from step to step. Written through
 * typed-array views: no call into native code per token.
 */
export class LlamaBatch implements Disposable {
  readonly capacity: number;
  #numTokens = 0;

  readonly #blocks: bigint[] = [];
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #sequences: Int32Array;
  readonly #outputs: Int8Array;
  readonly #struct: Record<string, unknown>;

  constructor(capacity: number) {
    this.capacity = capacity;
    const tokens = this.#allocate(capacity * 4);
    const positions = this.#allocate(capacity * 4);
    const sequences = this.#allocate(capacity * 4);
    const counts = this.#allocate(capacity * 4);
    const pointers = this.#allocate(capacity * 8);
    const outputs = this.#allocate(capacity);
    this.#tokens = new Int32Array(koffi.view(tokens, capacity * 4));
    this.#positions = new Int32Array(koffi.view(positions, capacity * 4));
    this.#sequences = new Int32Array(koffi.view(sequences, capacity * 4));
    this.#outputs = new Int8Array(koffi.view(outputs, capacity));
    // Each token belongs to one sequence: entry i points at #sequences[i], for good.
    new Int32Array(koffi.view(counts, capacity * 4)).fill(1);
    new BigUint64Array(koffi.view(pointers, capacity * 8)).forEach((_, i, all) => {
      all[i] = sequences + BigInt(i * 4);
    });
    this.#struct = {
      n_tokens: 0,
      token: tokens,
      embd: null,
      pos: positions,
      n_seq_id: counts,
      seq_id: pointers,
      logits: outputs,
    };
  }

  get numTokens(): number {
    return this.#numTokens;
  }

  clear(): void {
    this.#numTokens = 0;
  }

  /** @param wantsOutput compute the logits of this token */
  add(token: number, position: number, sequence: number, wantsOutput: boolean): number {
    if (this.#numTokens === this.capacity) {
      throw new RangeError(`Cannot add a token: the batch holds ${this.capacity}`);
    }
    const i = this.#numTokens++;
    this.#tokens[i] = token;
    this.#positions[i] = position;
    this.#sequences[i] = sequence;
    this.#outputs[i] = wantsOutput ? 1 : 0;
    return i;
  }

  /** The `llama_batch` struct, to be passed by value. */
  get native(): Record<string, unknown> {
    this.#struct["n_tokens"] = this.#numTokens;
    return this.#struct;
  }

  [Symbol.dispose](): void {
    for (const block of this.#blocks.splice(0)) koffi.free(block);
  }

  #allocate(numBytes: number): bigint {
    const block = koffi.alloc("uint8", numBytes) as bigint;
    this.#blocks.push(block);
    return block;
  }
}
