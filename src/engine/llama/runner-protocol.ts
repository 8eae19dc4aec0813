import type { EngineKvPart } from "../../connector/connector.ts";
import type { EmbeddingItem, EmbeddingShape, StepItem, StepResult } from "../model-runner.ts";
import type { SamplingParams } from "../sampling-params.ts";
import type { LoraAdapter } from "./adapter.ts";
import type { MemoryLayout } from "./memory-layout.ts";

/** How the vectors of a text's tokens become one: their mean, the first one, the last one. */
export type Pooling = "mean" | "cls" | "last";

/** How the model's thread is started. */
export interface RunnerOptions {
  readonly modelPath: string;
  readonly numGpuLayers: number;
  /** See ContextSizeRequest. */
  readonly maxModelLen: number | undefined;
  readonly numCells: number | undefined;
  readonly numSequences: number;
  readonly numBatchTokens: number;
  readonly numThreads: number;
  readonly kvType: string;
  readonly adapters: readonly LoraAdapter[];
  /** See StepItem. */
  readonly modules: readonly LoraAdapter[];
  /** Undefined: where the model is made for them. A pooling is used instead of the model's own. */
  readonly embeddings: boolean | Pooling | undefined;
}

/** The thread's first message. */
export interface RunnerReady {
  readonly kind: "ready";
  /** Address of the model, for its vocabulary, which any thread may read. */
  readonly modelAddress: bigint;
  readonly maxModelLen: number;
  readonly numCells: number;
  readonly memory: MemoryLayout;
  /** Undefined: no embeddings. */
  readonly embedding: EmbeddingShape | undefined;
  /** The model writes no text. */
  readonly isEncoder: boolean;
}

export type RunnerCommand =
  /** Answered by a RunnerStep for each step but the last, and for that by a reply. */
  | { readonly op: "run"; readonly items: readonly StepItem[]; readonly numSteps: number }
  | { readonly op: "interrupt" }
  | { readonly op: "extract"; readonly sequence: number; readonly parts: readonly EngineKvPart[] }
  | { readonly op: "restore"; readonly sequence: number; readonly parts: readonly EngineKvPart[] }
  | { readonly op: "embed"; readonly items: readonly EmbeddingItem[] }
  | { readonly op: "copy"; readonly from: number; readonly to: number; readonly numTokens: number }
  | { readonly op: "trim"; readonly sequence: number; readonly start: number }
  | {
      readonly op: "addSampler";
      readonly samplerId: string;
      readonly sampling: SamplingParams;
      readonly promptTokens: Int32Array;
    }
  | { readonly op: "dropSampler"; readonly samplerId: string }
  | { readonly op: "close" };

/** Commands with an id are answered, in order. */
export interface RunnerRequest {
  readonly id: number | undefined;
  readonly command: RunnerCommand;
}

export interface RunnerReply {
  readonly kind: "reply";
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** The result of a step behind which the run goes on. */
export interface RunnerStep {
  readonly kind: "step";
  readonly id: number;
  readonly result: StepResult;
}
