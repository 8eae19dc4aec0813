import { UsageError } from "../../core/index.ts";
import type { EmbeddingItem, EmbeddingShape } from "../model-runner.ts";
import { ContextAdapters } from "./adapter.ts";
import { LlamaContext } from "./context.ts";
import type { LlamaLibrary } from "./library.ts";
import type { LlamaModel } from "./model.ts";
import type { Pooling, RunnerOptions } from "./runner-protocol.ts";

/** llama.cpp's numbers for the ways to make one vector of those of all tokens. */
const POOLING_BY_ID: Readonly<Record<string, Pooling>> = { 1: "mean", 2: "cls", 3: "last" };

/**
 * Longest text, whatever the model could take: memory is set aside for it, and a text that cannot be cut keeps
 * everybody waiting.
 */
const MAX_TEXT_TOKENS = 8192;
/** llama.cpp makes logits of all these tokens, which take memory. */
const PASS_TOKENS = 256;
const NUM_SEQUENCES = 16;

/**
 * Makes embeddings, in a context of its own. llama.cpp gives a vector for each token; they are pooled here, so
 * that a long text can come in pieces.
 */
export class Embedder implements Disposable {
  readonly shape: EmbeddingShape;
  readonly #context: LlamaContext;
  readonly #pooling: Pooling;
  /** What is known of texts that go on, by sequence. */
  readonly #pools = new Map<number, Float32Array>();

  /**
   * @param isEncoder the model has no memory: it writes no text
   * @returns undefined when nobody asks for embeddings, neither the user nor the model
   * @throws UsageError when the user does and the model cannot
   */
  static open(
    library: LlamaLibrary,
    model: LlamaModel,
    isEncoder: boolean,
    options: RunnerOptions,
    maxModelLen: number,
  ): Embedder | undefined {
    const { functions, native } = model;
    const ownPooling = POOLING_BY_ID[metadataOf(model, "pooling_type") ?? ""];
    const isAsked = typeof options.embeddings === "string" || options.embeddings === true;
    const isOffered = isEncoder || (ownPooling !== undefined && options.embeddings !== false);
    if (!isAsked && !isOffered) return undefined;
    if (!canEmbed(model)) {
      if (!isAsked) return undefined;
      throw new UsageError(
        `Cannot make embeddings with this model: the architecture ${model.metadata("general.architecture")} is none that can`,
        { param: "--embeddings" },
      );
    }
    const isCausal = !isEncoder && metadataOf(model, "attention.causal") !== "false";
    const pooling =
      typeof options.embeddings === "string"
        ? options.embeddings
        : (ownPooling ?? (isCausal ? "last" : "mean"));
    const hasState =
      functions.llama_model_is_recurrent(native) || functions.llama_model_is_hybrid(native);
    const shape: EmbeddingShape = {
      dimensions: functions.llama_model_n_embd_out(native) as number,
      maxTokens: Math.min(maxModelLen, MAX_TEXT_TOKENS),
      passTokens: PASS_TOKENS,
      // Recurrent layers keep a large state for each of them.
      numSequences: hasState ? 1 : NUM_SEQUENCES,
      canCut: isCausal,
    };
    const context = new LlamaContext(library, model, {
      numCells: shape.maxTokens + PASS_TOKENS,
      numSequences: shape.numSequences,
      numBatchTokens: isCausal ? PASS_TOKENS : Math.max(PASS_TOKENS, shape.maxTokens),
      numThreads: options.numThreads,
      kvType: options.kvType,
      makesEmbeddings: true,
    });
    new ContextAdapters(library, model, context.native, options.adapters);
    return new Embedder(context, shape, pooling);
  }

  private constructor(context: LlamaContext, shape: EmbeddingShape, pooling: Pooling) {
    this.#context = context;
    this.shape = shape;
    this.#pooling = pooling;
  }

  /** One forward pass. See ModelRunner. */
  run(items: readonly EmbeddingItem[]): Float32Array[] {
    const { batch } = this.#context;
    this.#forgetAllBut(
      new Set(items.filter(({ start }) => start > 0).map((item) => item.sequence)),
    );
    batch.clear();
    for (const { sequence, tokens, start } of items) {
      for (const [i, token] of tokens.entries()) batch.add(token, start + i, sequence, true);
    }
    const status = this.#context.decode();
    if (status !== 0) throw new Error(`The pass for embeddings failed with ${status}`);
    const { dimensions } = this.shape;
    const rows = this.#context.embeddings(batch.numTokens * dimensions);
    const vectors: Float32Array[] = [];
    let place = 0;
    for (const item of items) {
      const length = item.tokens.length * dimensions;
      const pool = this.#pool(item, rows.subarray(place, place + length));
      if (item.isLast) vectors.push(unitVector(pool));
      place += length;
    }
    return vectors;
  }

  [Symbol.dispose](): void {
    this.#context[Symbol.dispose]();
  }

  /** Texts that are over, or were given up. */
  #forgetAllBut(sequences: ReadonlySet<number>): void {
    for (let sequence = 0; sequence < this.shape.numSequences; sequence++) {
      if (sequences.has(sequence)) continue;
      this.#context.removeRange(sequence, -1, -1);
      this.#pools.delete(sequence);
    }
  }

  /** @param rows of the item's tokens, one behind the other */
  #pool({ sequence }: EmbeddingItem, rows: Float32Array): Float32Array {
    const { dimensions } = this.shape;
    let pool = this.#pools.get(sequence);
    const isFirst = pool === undefined;
    pool ??= new Float32Array(dimensions);
    this.#pools.set(sequence, pool);
    if (this.#pooling === "last") pool.set(rows.subarray(rows.length - dimensions));
    if (this.#pooling === "cls" && isFirst) pool.set(rows.subarray(0, dimensions));
    if (this.#pooling === "mean") {
      // Their sum: the length is made one in the end.
      for (let i = 0; i < rows.length; i++) pool[i % dimensions]! += rows[i]!;
    }
    return pool;
  }
}

function canEmbed(model: LlamaModel): boolean {
  const { functions, native } = model;
  if (functions.llama_model_has_encoder(native) || functions.llama_model_is_diffusion(native)) {
    return false;
  }
  // llama.cpp wants a vector for each residual stream, where there is one for all: it would end the process.
  return metadataOf(model, "hyper_connection.count") === undefined;
}

function metadataOf(model: LlamaModel, key: string): string | undefined {
  return model.metadata(`${model.metadata("general.architecture") ?? ""}.${key}`);
}

function unitVector(vector: Float32Array): Float32Array {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return sum === 0 ? vector : vector.map((value) => value / Math.sqrt(sum));
}
