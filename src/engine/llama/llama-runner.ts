import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { EngineKvPart } from "../../connector/connector.ts";
import { UsageError } from "../../core/index.ts";
import type { EmbeddingItem, ModelRunner, StepItem, StepResult } from "../model-runner.ts";
import type { SamplingParams } from "../sampling-params.ts";
import type {
  RunnerCommand,
  RunnerOptions,
  RunnerReady,
  RunnerReply,
  RunnerRequest,
  RunnerStep,
} from "./runner-protocol.ts";

/**
 * Threads need a JavaScript file: from sources (tests) the built one is used, so build before you test.
 */
const workerUrl = import.meta.url.endsWith(".ts")
  ? new URL("../../../dist/engine/llama/worker.js", import.meta.url)
  : new URL("./worker.js", import.meta.url);

/** The main thread's end of the model's thread. */
export class LlamaRunner implements ModelRunner {
  readonly ready: RunnerReady;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  /** Why the thread is gone, once it is. */
  #failure: Error | undefined;

  /** @throws Error when the model cannot be loaded, UsageError when it cannot be as asked */
  static async start(options: RunnerOptions): Promise<LlamaRunner> {
    const worker = new Worker(workerUrl, { workerData: options });
    try {
      const [ready] = (await once(worker, "message")) as [RunnerReady];
      return new LlamaRunner(worker, ready);
    } catch (error) {
      throw withClass(error);
    }
  }

  private constructor(worker: Worker, ready: RunnerReady) {
    this.#worker = worker;
    this.ready = ready;
    worker.on("message", (message: RunnerReply | RunnerStep) => {
      if (message.kind === "reply") this.#settle(message);
      else this.#pending.get(message.id)?.onStep?.(message.result);
    });
    worker.on("error", (error) => this.#fail(error));
    worker.on("exit", (code) => this.#fail(new Error(`The model's thread ended with ${code}`)));
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  async run(
    items: readonly StepItem[],
    numSteps: number,
    onStep: (result: StepResult) => void,
  ): Promise<void> {
    onStep((await this.#ask({ op: "run", items, numSteps }, onStep)) as StepResult);
  }

  interrupt(): void {
    this.#tell({ op: "interrupt" });
  }

  async addSampler(
    samplerId: string,
    sampling: SamplingParams,
    promptTokens: Int32Array,
  ): Promise<void> {
    await this.#ask({ op: "addSampler", samplerId, sampling, promptTokens });
  }

  dropSampler(samplerId: string): void {
    this.#tell({ op: "dropSampler", samplerId });
  }

  copy(from: number, to: number, numTokens: number): void {
    this.#tell({ op: "copy", from, to, numTokens });
  }

  trim(sequence: number, start: number): void {
    this.#tell({ op: "trim", sequence, start });
  }

  extract(sequence: number, parts: readonly EngineKvPart[]): Promise<number[]> {
    return this.#ask({ op: "extract", sequence, parts }) as Promise<number[]>;
  }

  restore(sequence: number, parts: readonly EngineKvPart[]): Promise<number> {
    return this.#ask({ op: "restore", sequence, parts }) as Promise<number>;
  }

  embed(items: readonly EmbeddingItem[]): Promise<Float32Array[]> {
    return this.#ask({ op: "embed", items }) as Promise<Float32Array[]>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#failure === undefined) await this.#ask({ op: "close" }).catch(() => {});
    await this.#worker.terminate();
  }

  #ask(command: RunnerCommand, onStep?: (result: StepResult) => void): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onStep });
      this.#worker.postMessage({ id, command } satisfies RunnerRequest);
    });
  }

  #tell(command: RunnerCommand): void {
    this.#worker.postMessage({ id: undefined, command } satisfies RunnerRequest);
  }

  #settle(reply: RunnerReply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (reply.error === undefined) pending?.resolve(reply.value);
    else pending?.reject(new Error(reply.error));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
  }
}

/** Errors lose their class on the way between threads. */
function withClass(error: unknown): unknown {
  const { code, param, message } = error as Partial<UsageError>;
  if (code !== "usage" || message === undefined) return error;
  return new UsageError(message, { cause: error, ...(param === undefined ? {} : { param }) });
}

interface Pending {
  readonly onStep: ((result: StepResult) => void) | undefined;
  resolve(value: unknown): void;
  reject(error: Error): void;
}
