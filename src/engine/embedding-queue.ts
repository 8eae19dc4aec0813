import { UsageError } from "../core/index.ts";
import { QueueFullError } from "./engine.ts";
import type { EmbeddingItem, EmbeddingShape, ModelRunner } from "./model-runner.ts";

export interface EmbeddingQueueOptions {
  readonly runner: Pick<ModelRunner, "embed">;
  readonly shape: EmbeddingShape;
  /** Most requests that wait. */
  readonly maxWaiting: number;
}

/** As much as prompts come in by beside answers that go on. */
const PASS_TOKENS_BESIDE_STEPS = 128;

/** A request: its texts are computed in order, and its turn comes after each of them. */
interface Job {
  readonly texts: readonly Int32Array[];
  readonly vectors: Float32Array[];
  numTaken: number;
  resolve(vectors: Float32Array[]): void;
  reject(error: unknown): void;
}

/** A text, or what of it fits, in a pass. */
interface Piece {
  readonly job: Job;
  readonly text: Int32Array;
  readonly item: EmbeddingItem;
}

/**
 * Texts that wait to be embedded. They are computed pass by pass, when the engine's loop says so: a step of
 * those who generate comes between any two.
 */
export class EmbeddingQueue {
  readonly #options: EmbeddingQueueOptions;
  /** Those with texts that nobody has begun with, by turn. */
  readonly #jobs: Job[] = [];
  /** The one text that is not through, and where it goes on. At most one: it was the last of its pass. */
  #open: (Piece & { readonly end: number }) | undefined;

  constructor(options: EmbeddingQueueOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#jobs.length === 0 && this.#open === undefined;
  }

  /**
   * @returns a vector for each text
   * @throws UsageError for a text that is empty or too long
   * @throws QueueFullError
   */
  add(texts: readonly Int32Array[], signal?: AbortSignal): Promise<Float32Array[]> {
    const { maxTokens } = this.#options.shape;
    for (const [index, { length }] of texts.entries()) {
      if (length > 0 && length <= maxTokens) continue;
      throw new UsageError(
        `Cannot make an embedding of input ${index}: wanted 1 to ${maxTokens} tokens, got ${length}`,
        { param: "input" },
      );
    }
    if (texts.length === 0) return Promise.resolve([]);
    if (this.#jobs.length >= this.#options.maxWaiting) {
      throw new QueueFullError(
        `Cannot take another request: ${this.#jobs.length} wait for embeddings, which is the limit`,
      );
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => this.#end(job, () => reject(signal?.reason as Error));
      const job: Job = {
        texts,
        vectors: [],
        numTaken: 0,
        resolve: (vectors) => {
          signal?.removeEventListener("abort", leave);
          resolve(vectors);
        },
        reject: (error) => {
          signal?.removeEventListener("abort", leave);
          reject(error as Error);
        },
      };
      if (signal?.aborted) return leave();
      signal?.addEventListener("abort", leave, { once: true });
      this.#jobs.push(job);
    });
  }

  /**
   * Computes what comes next, if anything. Never rejects: whoever asked is told of failures.
   *
   * @param isBesideSteps others wait for their next token meanwhile
   */
  async pass(isBesideSteps = false): Promise<void> {
    const { passTokens } = this.#options.shape;
    const pieces = this.#plan(
      isBesideSteps ? Math.min(PASS_TOKENS_BESIDE_STEPS, passTokens) : passTokens,
    );
    if (pieces.length === 0) return;
    try {
      const vectors = await this.#options.runner.embed(pieces.map(({ item }) => item));
      const finished = pieces.filter(({ item }) => item.isLast);
      for (const [i, { job }] of finished.entries()) job.vectors.push(vectors[i]!);
      for (const { job } of finished) {
        if (job.vectors.length === job.texts.length) job.resolve(job.vectors);
      }
    } catch (error) {
      for (const { job } of pieces) this.#end(job, () => job.reject(error));
    }
  }

  close(error: Error): void {
    const jobs = new Set(this.#jobs);
    if (this.#open !== undefined) jobs.add(this.#open.job);
    for (const job of jobs) this.#end(job, () => job.reject(error));
  }

  #plan(passTokens: number): Piece[] {
    const { numSequences } = this.#options.shape;
    const pieces: Piece[] = [];
    let budget = passTokens;
    while (budget > 0 && pieces.length < numSequences) {
      const piece = this.#next(budget, pieces);
      if (piece === undefined) break;
      pieces.push(piece);
      budget -= piece.item.tokens.length;
    }
    return pieces;
  }

  #next(budget: number, pieces: readonly Piece[]): Piece | undefined {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined)
      return this.#cut(open.job, open.text, open.end, open.item.sequence, budget);
    const [job] = this.#jobs;
    const text = job?.texts[job.numTaken];
    if (job === undefined || text === undefined) return undefined;
    const { canCut } = this.#options.shape;
    // One that cannot be cut and is too long for any pass has one to itself.
    if (!canCut && text.length > budget && pieces.length > 0) return undefined;
    this.#jobs.shift();
    if (++job.numTaken < job.texts.length) this.#jobs.push(job);
    const used = new Set(pieces.map(({ item }) => item.sequence));
    let sequence = 0;
    while (used.has(sequence)) sequence++;
    return this.#cut(job, text, 0, sequence, canCut ? budget : text.length);
  }

  #cut(job: Job, text: Int32Array, start: number, sequence: number, budget: number): Piece {
    const end = Math.min(text.length, start + budget);
    const isLast = end === text.length;
    const tokens = text.slice(start, end);
    const piece = { job, text, item: { sequence, tokens, start, isLast } };
    if (!isLast) this.#open = { ...piece, end };
    return piece;
  }

  #end(job: Job, settle: () => void): void {
    const place = this.#jobs.indexOf(job);
    if (place >= 0) this.#jobs.splice(place, 1);
    if (this.#open?.job === job) this.#open = undefined;
    settle();
  }
}
