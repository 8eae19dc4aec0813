import { koffi } from "../../native/index.ts";
import type { LlamaFunctions, Pointer } from "./bindings.ts";

/** llama_token_data: i32 id, f32 logit, f32 p. */
const WORDS_PER_TOKEN = 3;
/** llama_token_data_array: pointer, size_t, i64 selected, bool sorted. */
const ARRAY_BYTES = 32;

/** All tokens with their logits, in the form that llama.cpp's samplers work on. Native memory, reused. */
export class TokenCandidates implements Disposable {
  readonly #functions: LlamaFunctions;
  readonly #vocabSize: number;
  readonly #tokens: Pointer;
  readonly #array: Pointer;
  readonly #ids: Int32Array;
  readonly #logits: Float32Array;
  readonly #header: BigInt64Array;

  constructor(functions: LlamaFunctions, vocabSize: number) {
    this.#functions = functions;
    this.#vocabSize = vocabSize;
    const numBytes = vocabSize * WORDS_PER_TOKEN * 4;
    this.#tokens = koffi.alloc("uint8", numBytes) as Pointer;
    this.#array = koffi.alloc("uint8", ARRAY_BYTES) as Pointer;
    const memory = koffi.view(this.#tokens, numBytes);
    this.#ids = new Int32Array(memory);
    this.#logits = new Float32Array(memory);
    this.#header = new BigInt64Array(koffi.view(this.#array, ARRAY_BYTES));
  }

  /** Starts afresh with every token. */
  fill(logits: Float32Array): void {
    for (let token = 0; token < this.#vocabSize; token++) {
      this.#ids[token * WORDS_PER_TOKEN] = token;
      this.#logits[token * WORDS_PER_TOKEN + 1] = logits[token]!;
    }
    this.#setSize(this.#vocabSize);
  }

  /** Starts afresh with one token. */
  set(token: number): void {
    this.#ids[0] = token;
    this.#logits[1] = 0;
    this.#setSize(1);
  }

  apply(sampler: Pointer): void {
    this.#functions.llama_sampler_apply(sampler, this.#array);
  }

  /** Whether any token is still possible. */
  get isAnyPossible(): boolean {
    const size = Number(this.#header[1]);
    for (let i = 0; i < size; i++) {
      if (this.#logits[i * WORDS_PER_TOKEN + 1]! > -Infinity) return true;
    }
    return false;
  }

  /** What the last sampler of a chain has picked. */
  get selectedToken(): number {
    return this.#ids[Number(this.#header[2]) * WORDS_PER_TOKEN]!;
  }

  [Symbol.dispose](): void {
    koffi.free(this.#tokens);
    koffi.free(this.#array);
  }

  #setSize(size: number): void {
    this.#header[0] = this.#tokens;
    this.#header[1] = BigInt(size);
    this.#header[2] = -1n;
    this.#header[3] = 0n;
  }
}
