import type { KvConnector } from "../connector/connector.ts";
import { type Clock, type Logger, UsageError, messageOf, publish } from "../core/index.ts";
import { EmbeddingQueue } from "./embedding-queue.ts";
import type { Engine, EngineStats, GenerateRequest, GenerationDelta, ModelInfo } from "./engine.ts";
import { KvResidency } from "./kv-residency.ts";
import { findModule, namesOfUsed, saltOf } from "./lora-module.ts";
import type { EmbeddingShape, ModelRunner, StepResult } from "./model-runner.ts";
import { PrefixCache } from "./prefix-cache.ts";
import type { PrefillEstimate } from "./prefill-estimate.ts";
import { EngineRequest, type TokenTexts } from "./request.ts";
import { RestorePacer } from "./restore-pacer.ts";
import {
  type ScheduledChunk,
  Scheduler,
  type SchedulerOptions,
  followingChunk,
  isScored,
} from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";
import { stepItemOf } from "./step-item.ts";

/** A model's vocabulary, as far as the engine uses it. */
export interface EngineVocab extends TokenTexts {
  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Promise<Int32Array>;
  specialPieceOf(token: number): Uint8Array;
}

export interface LlmEngineOptions {
  readonly model: ModelInfo;
  readonly runner: ModelRunner;
  readonly vocab: EngineVocab;
  readonly connector: KvConnector;
  readonly scheduler: SchedulerOptions;
  /** Undefined: a slot that is given back is emptied. */
  readonly prefixCache?: { readonly keepsGenerated: boolean } | undefined;
  /** Undefined: the model makes no embeddings. */
  readonly embedding?: EmbeddingShape | undefined;
  /**
   * The model's thread need not wait for the answer's text before it computes the next token. What it computed
   * in vain is cut off at the end, so not where a sequence's memory cannot be cut and is still to be saved.
   */
  readonly runsAhead: boolean;
  /** Learns from the steps. */
  readonly prefill: PrefillEstimate;
  readonly logger: Logger;
  readonly clock: Clock;
}

type EndReason = "stop" | "length" | "abort" | "error";

/**
 * Continuous batching on one model. Each turn of the loop: admit who waits, schedule, run, postprocess.
 * What touches the cache (look up, load, save) happens beside the steps.
 */
export class LlmEngine implements Engine {
  readonly model: ModelInfo;
  readonly #runner: ModelRunner;
  readonly #vocab: EngineVocab;
  readonly #connector: KvConnector;
  readonly #scheduler: Scheduler;
  readonly #options: LlmEngineOptions;
  /** Everybody between generate and the last delta. */
  readonly #requests = new Map<Sequence, EngineRequest>();
  readonly #pacer: RestorePacer;
  readonly #prefixes: PrefixCache | undefined;
  readonly #residency: KvResidency;
  readonly #embeddings: EmbeddingQueue | undefined;
  readonly #loop: Promise<void>;
  #wake: () => void = () => {};
  #isClosing = false;

  constructor(options: LlmEngineOptions) {
    this.#options = options;
    this.model = options.model;
    this.#runner = options.runner;
    this.#vocab = options.vocab;
    this.#connector = options.connector;
    this.#scheduler = new Scheduler(options.scheduler);
    const { runner, prefixCache, embedding: shape } = options;
    const { maxWaiting } = options.scheduler;
    this.#embeddings = shape && new EmbeddingQueue({ runner, shape, maxWaiting });
    this.#prefixes =
      prefixCache &&
      new PrefixCache({
        ...prefixCache,
        copy: (from, to, numTokens) => runner.copy(from, to, numTokens),
        trim: (slot, start) => runner.trim(slot, start),
      });
    this.#pacer = new RestorePacer(options.runner, () => options.clock.nowMs());
    this.#residency = new KvResidency({
      runner,
      connector: options.connector,
      pacer: this.#pacer,
      prefixes: this.#prefixes,
    });
    this.#loop = this.#run();
  }

  tokenize(
    text: string,
    options: { readonly addSpecial: boolean; readonly parseSpecial: boolean },
  ): Promise<Int32Array> {
    return this.#vocab.tokenize(text, options.addSpecial, options.parseSpecial);
  }

  detokenize(tokens: Int32Array): string {
    return Buffer.concat(Array.from(tokens, (token) => this.#vocab.specialPieceOf(token))).toString(
      "utf8",
    );
  }

  async *generate(
    request: GenerateRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<GenerationDelta, void, undefined> {
    signal?.throwIfAborted();
    if (this.#isClosing) throw new Error("The engine is closed");
    const { model } = this;
    if (model.embedding?.isAll) {
      throw new UsageError("This model makes embeddings and writes no text", { param: "model" });
    }
    const { modules = [] } = model;
    const module = request.module === undefined ? undefined : findModule(modules, request.module);
    const entry = new EngineRequest(
      { ...request, cacheSalt: saltOf(module, request.cacheSalt) },
      this.#vocab,
      model.maxModelLen,
      this.#options.clock.nowMs(),
    );
    if (module !== undefined) entry.sequence.module = modules.indexOf(module);
    this.#scheduler.add(entry.sequence);
    this.#requests.set(entry.sequence, entry);
    const leave = (): void => this.#abort(entry);
    signal?.addEventListener("abort", leave, { once: true });
    this.#wake();
    try {
      yield* entry.output.read();
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", leave);
      this.#abort(entry);
    }
  }

  async embed(texts: readonly Int32Array[], signal?: AbortSignal): Promise<Float32Array[]> {
    if (this.#isClosing) throw new Error("The engine is closed");
    if (this.#embeddings === undefined) {
      throw new UsageError("This model was loaded without embeddings", { param: "model" });
    }
    const startMs = this.#options.clock.nowMs();
    const pending = this.#embeddings.add(texts, signal);
    this.#wake();
    const vectors = await pending;
    publish("warmkv:embedding:finished", {
      numTexts: texts.length,
      numTokens: texts.reduce((sum, { length }) => sum + length, 0),
      durationMs: this.#options.clock.nowMs() - startMs,
    });
    return vectors;
  }

  get failure(): Error | undefined {
    return this.#runner.failure;
  }

  resetPrefixCache(): void {
    this.#prefixes?.clear();
  }

  stats(): EngineStats {
    return {
      numRunning: this.#scheduler.active.length,
      numWaiting: this.#scheduler.numWaiting,
      runningModules: namesOfUsed(this.model.modules, this.#scheduler.active),
      waitingModules: namesOfUsed(this.model.modules, this.#scheduler.waiting),
      numUsedCells: this.#scheduler.active.reduce((sum, sequence) => sum + sequence.numComputed, 0),
      numCells: this.#options.scheduler.numCells,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    for (const entry of this.#requests.values()) entry.abort.abort();
    this.#embeddings?.close(new Error("The engine is closed"));
    this.#wake();
    await this.#loop;
    await this.#connector.close();
    await this.#runner[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    for (;;) {
      if (this.#hasTextsToEmbed) {
        await this.#embeddings!.pass(this.#scheduler.active.length > 0);
      }
      this.#dropAborted();
      if (this.#isClosing && this.#scheduler.active.length === 0) return;
      this.#admit();
      this.#preempt();
      const chunks = this.#scheduler.schedule();
      if (chunks.length === 0) {
        this.#pacer.whenIdle();
        if (!this.#hasTextsToEmbed) await this.#sleep();
        continue;
      }
      this.#pacer.beforeStep();
      await this.#compute(chunks);
    }
  }

  get #hasTextsToEmbed(): boolean {
    return this.#embeddings?.isEmpty === false;
  }

  #admit(): void {
    const prefixes = this.#prefixes;
    const admitted = this.#scheduler.admit(prefixes && ((...args) => prefixes.choose(...args)));
    // Who came together may share what one of them has taken over.
    for (const sequence of admitted) {
      sequence.numComputed = prefixes?.take(sequence, this.#scheduler.active) ?? 0;
    }
    for (const sequence of admitted) void this.#bringIn(sequence, sequence.numComputed);
    this.#makeRoom(0);
  }

  /** From "loading" to "running": what is stored of the prompt comes into the engine. */
  async #bringIn(sequence: Sequence, numHeld: number): Promise<void> {
    const entry = this.#requests.get(sequence)!;
    sequence.firstScheduledMs ??= this.#options.clock.nowMs();
    try {
      const sampler = this.#addSampler(sequence);
      const { signal } = entry.abort;
      const isIn = await this.#residency.bringIn(sequence, numHeld, sampler, signal);
      if (isIn) sequence.state = "running";
    } catch (error) {
      this.#finish(entry, "error", toError(error));
    }
    this.#wake();
  }

  async #addSampler(sequence: Sequence): Promise<void> {
    if (sequence.hasSampler) return;
    sequence.hasSampler = true;
    const { sampling } = sequence;
    const needsPrompt = sampling.repetitionPenalty !== 1;
    const prompt = needsPrompt ? sequence.tokens.slice() : new Int32Array();
    await this.#runner.addSampler(sequence.id, sampling, prompt);
  }

  #preempt(): void {
    for (const { sequence, slot } of this.#scheduler.preempt()) {
      this.#residency.drop(sequence, slot);
      publish("warmkv:engine:preempted", { id: sequence.id });
      this.#options.logger.debug(`Preempted request ${sequence.id}: no free KV cells`);
    }
  }

  /** A step, and those that may follow it; ends early when somebody wakes the loop. */
  async #compute(first: readonly ScheduledChunk[]): Promise<void> {
    const isAlone = this.#options.runsAhead && !this.#hasTextsToEmbed;
    const numSteps = isAlone ? this.#scheduler.numStepsAhead(first) : 1;
    this.#makeRoom((numSteps - 1) * first.length);
    let chunks = first;
    let startMs = this.#options.clock.nowMs();
    const take = (result: StepResult): void => {
      const endMs = this.#options.clock.nowMs();
      this.#observeStep(chunks, endMs - startMs);
      this.#postprocess(chunks, result);
      startMs = endMs;
      chunks = chunks.map(followingChunk);
    };
    if (numSteps > 1) this.#wake = () => this.#runner.interrupt();
    try {
      await this.#runner.run(first.map(stepItemOf), numSteps, take);
    } catch (error) {
      this.#options.logger.error(`A step failed: ${messageOf(error)}`);
      take({ sampled: [], status: "failed" });
    }
    this.#wake = () => {};
  }

  /** Leaves so many cells free of what is kept for later. */
  #makeRoom(numCells: number): void {
    const { numUsedCells } = this.#scheduler;
    this.#prefixes?.shrink(this.#options.scheduler.numCells - numUsedCells - numCells);
  }

  #observeStep(chunks: readonly ScheduledChunk[], durationMs: number): void {
    const numTokens = chunks.reduce((sum, chunk) => sum + chunk.end - chunk.start, 0);
    publish("warmkv:engine:step", { numTokens, durationMs });
    this.#options.prefill.observe(numTokens, durationMs);
    this.#pacer.afterStep(durationMs);
  }

  #postprocess(chunks: readonly ScheduledChunk[], result: StepResult): void {
    if (result.status === "full") {
      // The scheduler counts cells, so this is fragmentation or a bug: give one sequence up and go on.
      this.#fail(chunks.slice(-1), "The engine has no free KV cells");
      return;
    }
    if (result.status === "failed") {
      this.#fail(chunks, "The model failed to compute this request");
      return;
    }
    let next = 0;
    let nextScored = 0;
    for (const { sequence, start, end, isComplete } of chunks) {
      const scored = !isComplete && isScored(sequence) ? result.scored?.[nextScored++] : undefined;
      const sampled = isComplete ? result.sampled[next++] : undefined;
      const entry = this.#requests.get(sequence);
      // It has ended, and the model's thread was ahead.
      if (entry === undefined) continue;
      sequence.numComputed = end;
      if (scored !== undefined) entry.score(scored, start + 1);
      if (sequence.numGenerated === 0 || end > sequence.numPromptTokens) {
        this.#residency.save(sequence, end === sequence.numPromptTokens);
      }
      if (sampled === undefined) continue;
      const nowMs = this.#options.clock.nowMs();
      sequence.firstTokenMs ??= nowMs;
      const reason = entry.accept(sampled, nowMs);
      if (reason !== undefined) this.#finish(entry, reason);
    }
  }

  #fail(chunks: readonly ScheduledChunk[], message: string): void {
    for (const { sequence } of chunks) {
      const entry = this.#requests.get(sequence);
      if (entry !== undefined) this.#finish(entry, "error", new Error(message));
    }
  }

  #abort(entry: EngineRequest): void {
    entry.abort.abort();
    this.#wake();
  }

  #dropAborted(): void {
    for (const entry of this.#requests.values()) {
      if (entry.abort.signal.aborted) this.#finish(entry, "abort");
    }
  }

  #finish(entry: EngineRequest, reason: EndReason, error?: Error): void {
    const { sequence } = entry;
    if (!this.#requests.delete(sequence)) return;
    sequence.state = "finished";
    entry.output.close(error);
    entry.abort.abort();
    const isAnswered = reason === "stop" || reason === "length";
    if (isAnswered) this.#residency.save(sequence, true);
    this.#connector.finish(sequence);
    this.#publishFinished(sequence, reason);
    const isTrusted = reason !== "error";
    // An answer's last chunks may still be on their way out; nobody waits for those of an aborted one.
    const saved = isAnswered ? this.#residency.saved(sequence) : undefined;
    if (saved === undefined) this.#release(sequence, isTrusted);
    else void saved.then(() => this.#release(sequence, isTrusted));
  }

  /** @param isTrusted whether the KV in its slot is what its tokens were computed to */
  #release(sequence: Sequence, isTrusted: boolean): void {
    const { slot } = sequence;
    this.#scheduler.release(sequence);
    if (slot !== undefined) {
      if (isTrusted) this.#residency.keep(sequence, slot);
      else this.#residency.drop(sequence, slot);
    }
    if (sequence.hasSampler) this.#runner.dropSampler(sequence.id);
    this.#wake();
  }

  #publishFinished(sequence: Sequence, finishReason: EndReason): void {
    const nowMs = this.#options.clock.nowMs();
    publish("warmkv:request:finished", {
      id: sequence.id,
      finishReason,
      numPromptTokens: sequence.numPromptTokens,
      numCachedTokens: sequence.numCached,
      numGeneratedTokens: sequence.numGenerated,
      maxTokens: sequence.sampling.maxTokens,
      timeToFirstTokenMs:
        sequence.firstTokenMs === undefined
          ? undefined
          : sequence.firstTokenMs - sequence.arrivalMs,
      endToEndMs: nowMs - sequence.arrivalMs,
      queueMs: (sequence.firstScheduledMs ?? nowMs) - sequence.arrivalMs,
    });
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
