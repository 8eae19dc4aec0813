import { koffi } from "../../native/index.ts";
import { LlamaBatch } from "./batch.ts";
import {
  FLASH_ATTENTION_ENABLED,
  KV_TYPES,
  POOLING_NONE,
  type ContextParams,
  type LlamaFunctions,
  type Pointer,
} from "./bindings.ts";
import { MAX_SCORED_TOKENS } from "../model-runner.ts";
import type { LlamaLibrary } from "./library.ts";
import type { LlamaModel } from "./model.ts";

export interface LlamaContextOptions {
  /** KV cells, shared by all sequences. */
  readonly numCells: number;
  /** Sequences a user of this class may have; one more is kept as scratch. */
  readonly numSequences: number;
  /** Most tokens of one forward pass. */
  readonly numBatchTokens: number;
  readonly numThreads: number;
  readonly kvType: string;
  /** Give the vectors of all tokens of a batch; for a context that does nothing else. */
  readonly makesEmbeddings?: boolean;
}

/** A model's working memory: KV cells, compute buffers and one batch. */
export class LlamaContext implements Disposable {
  readonly native: Pointer;
  /** Null: an encoder, to which nothing is past. */
  readonly memory: Pointer | null;
  readonly batch: LlamaBatch;
  readonly numCells: number;
  /** The sequence that belongs to no request: extracts and restores pass through it. */
  readonly scratchSequence: number;
  readonly functions: LlamaFunctions;
  readonly vocabSize: number;

  constructor(library: LlamaLibrary, model: LlamaModel, options: LlamaContextOptions) {
    this.functions = library.functions;
    const params = this.functions.llama_context_default_params() as ContextParams;
    const kvTypeId = KV_TYPES[options.kvType]!.id;
    Object.assign(params, {
      n_ctx: options.numCells,
      n_batch: options.numBatchTokens,
      // Never cut a batch: the rest might be too narrow for the kernel that the whole was meant for.
      n_ubatch: options.numBatchTokens,
      n_seq_max: options.numSequences + 1,
      // Only what is sampled or scored needs logits: with the default the compute buffer of a large vocabulary takes hundreds of MB.
      n_outputs_max: options.makesEmbeddings
        ? options.numBatchTokens
        : Math.max(options.numSequences + 1, MAX_SCORED_TOKENS),
      n_threads: options.numThreads,
      n_threads_batch: options.numThreads,
      type_k: kvTypeId,
      type_v: kvTypeId,
      // Chunks are cut by position out of one pool of cells, and V rows must lie token by token.
      kv_unified: true,
      flash_attn_type: FLASH_ATTENTION_ENABLED,
      swa_full: false,
      embeddings: options.makesEmbeddings ?? false,
      pooling_type: POOLING_NONE,
      no_perf: true,
    });
    library.setListening(true);
    library.takeLog();
    try {
      const context = this.functions.llama_init_from_model(model.native, params) as Pointer | null;
      if (context === null) {
        const reason = library.takeLog().join("; ") || "llama.cpp gave no reason";
        throw new Error(`Cannot make a context of ${options.numCells} tokens: ${reason}`);
      }
      this.native = context;
    } finally {
      library.setListening(false);
    }
    this.memory = this.functions.llama_get_memory(this.native) as Pointer | null;
    this.numCells = this.functions.llama_n_ctx(this.native) as number;
    this.scratchSequence = options.numSequences;
    this.batch = new LlamaBatch(options.numBatchTokens);
    const vocab = this.functions.llama_model_get_vocab(model.native);
    this.vocabSize = this.functions.llama_vocab_n_tokens(vocab) as number;
  }

  /** Runs the batch. @returns 0; 1 when there are too few free cells; otherwise an error */
  decode(): number {
    return this.functions.llama_decode(this.native, this.batch.native) as number;
  }

  /** A copy of the logits of the token at `index` of the last batch. */
  logits(index: number): Float32Array {
    return this.#logitsView(index).slice();
  }

  /** Makes it impossible that one of these tokens follows the token at `index` of the last batch. */
  maskLogits(index: number, tokens: readonly number[]): void {
    const logits = this.#logitsView(index);
    for (const token of tokens) logits[token] = -Infinity;
  }

  #logitsView(index: number): Float32Array {
    const pointer = this.functions.llama_get_logits_ith(this.native, index) as bigint;
    return new Float32Array(koffi.view(pointer, this.vocabSize * 4));
  }

  /** The vectors of all tokens of the last batch, one behind the other. A view: valid until the next decode. */
  embeddings(numValues: number): Float32Array {
    const pointer = this.functions.llama_get_embeddings(this.native) as bigint;
    return new Float32Array(koffi.view(pointer, numValues * 4));
  }

  /** Removes the positions [start, end); -1 is open. False where the model's layers cannot do that. */
  removeRange(sequence: number, start: number, end: number): boolean {
    return this.functions.llama_memory_seq_rm(this.memory, sequence, start, end) as boolean;
  }

  copyRange(from: number, to: number, start: number, end: number): void {
    this.functions.llama_memory_seq_cp(this.memory, from, to, start, end);
  }

  /** Last position of a sequence, -1 when it is empty. */
  lastPosition(sequence: number): number {
    return this.functions.llama_memory_seq_pos_max(this.memory, sequence) as number;
  }

  firstPosition(sequence: number): number {
    return this.functions.llama_memory_seq_pos_min(this.memory, sequence) as number;
  }

  /** Bytes of a sequence's state. @param flags 0, or STATE_PARTIAL_ONLY */
  stateBytes(sequence: number, flags: number): number {
    return Number(this.functions.llama_state_seq_get_size_ext(this.native, sequence, flags));
  }

  /** @returns bytes written; 0 on an error */
  readState(
    sequence: number,
    flags: number,
    target: bigint | Uint8Array,
    capacityBytes: number,
  ): number {
    return Number(
      this.functions.llama_state_seq_get_data_ext(
        this.native,
        target,
        capacityBytes,
        sequence,
        flags,
      ),
    );
  }

  /** Replaces the sequence's state. @returns bytes read; 0 on an error */
  writeState(
    sequence: number,
    flags: number,
    source: bigint | Uint8Array,
    byteLength: number,
  ): number {
    return Number(
      this.functions.llama_state_seq_set_data_ext(this.native, source, byteLength, sequence, flags),
    );
  }

  [Symbol.dispose](): void {
    this.batch[Symbol.dispose]();
    this.functions.llama_free(this.native);
  }
}
