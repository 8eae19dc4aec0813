import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import type { EngineKvLayout, KvConnector } from "../connector/connector.ts";
import { NullConnector } from "../connector/null-connector.ts";
import { type Clock, type Logger, UsageError, silentLogger, systemClock } from "../core/index.ts";
import type { ModelInfo } from "./engine.ts";
import type { LoraAdapter } from "./llama/adapter.ts";
import type { LoraModule } from "./lora-module.ts";
import { KV_TYPES, LLAMA_RELEASE } from "./llama/bindings.ts";
import { type GpuLayers, chooseGpuLayers } from "./llama/gpu.ts";
import { halfRowsFinder } from "./llama/half-rows.ts";
import { loadLlamaLibrary } from "./llama/library.ts";
import { LlamaRunner } from "./llama/llama-runner.ts";
import { type MemoryLayout, partBytes } from "./llama/memory-layout.ts";
import { LlamaModelInfo } from "./llama/model-info.ts";
import type { Pooling, RunnerReady } from "./llama/runner-protocol.ts";
import { LlamaVocab } from "./llama/vocab.ts";
import { LlmEngine } from "./llm-engine.ts";
import { PrefillEstimate } from "./prefill-estimate.ts";
import { WIDE_TOKENS } from "./scheduler.ts";

export interface LlamaEngineOptions {
  /** First file of the model. */
  readonly modelPath: string;
  /** 32 hex digits over the weights. */
  readonly weightsFingerprint: string;
  /** As users call it. */
  readonly modelName: string;
  readonly maxModelLen?: number | undefined;
  /** KV cells for all sequences together. */
  readonly numCells?: number | undefined;
  readonly maxNumSeqs?: number | undefined;
  readonly maxNumBatchedTokens?: number | undefined;
  /**
   * Prompts that are over stay in free cells, to be shared by those that begin alike. Default false: llama.cpp looks at
   * all cells in use, whosever they are, which made other prompts a quarter slower.
   */
  readonly enablePrefixCaching?: boolean | undefined;
  /** Share those of generated tokens too: the next turn of a conversation then computes its new part only. */
  readonly keepsGenerated?: boolean | undefined;
  /** Prompts come in by pieces, beside answers that go on. Default true; otherwise each is computed in one go. */
  readonly enableChunkedPrefill?: boolean | undefined;
  /** The next tokens are computed while the last ones are sent. Default true; otherwise one step, one call. */
  readonly decodesAhead?: boolean | undefined;
  /** Most requests that wait. */
  readonly maxWaiting?: number | undefined;
  /** Default: the machine's cores less one, so that the event loop lives. */
  readonly numThreads?: number | undefined;
  /** Layers on a GPU. Default "auto". */
  readonly numGpuLayers?: GpuLayers | undefined;
  /** f16, q8_0, ... */
  readonly kvCacheDtype?: string | undefined;
  /** Added to the model. The weights' fingerprint must count them in. */
  readonly adapters?: readonly LoraAdapter[] | undefined;
  /** Added for the requests that ask for one of them. */
  readonly modules?: readonly LoraModule[] | undefined;
  /**
   * Make embeddings, too. "mean", "cls" and "last" say how, in place of the model's own way. Default: where the
   * model is made for them. They take memory of their own.
   */
  readonly embeddings?: boolean | Pooling | undefined;
  readonly chatTemplate?: string | undefined;
  /** Makes the cache once the model's layout is known; undefined: no cache. */
  readonly connect?: Connect | undefined;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
}

/** @param estimatePrefillMs how long the engine would compute so many tokens; Infinity while it is not known */
export type Connect = (
  layout: EngineKvLayout,
  estimatePrefillMs: (numTokens: number) => number,
) => Promise<KvConnector>;

const DEFAULT_MAX_NUM_SEQS = 8;
/** One matrix multiplication of llama.cpp: more only makes others wait longer for their turn. */
const DEFAULT_MAX_NUM_BATCHED_TOKENS = 512;
const DEFAULT_MAX_WAITING = 1000;

/**
 * Loads a GGUF model and starts its engine.
 *
 * @throws UsageError for settings that cannot be, Error when the model cannot be loaded
 */
export async function loadLlamaEngine(options: LlamaEngineOptions): Promise<LlmEngine> {
  const kvType = readKvType(options);
  const maxNumSeqs = options.maxNumSeqs ?? DEFAULT_MAX_NUM_SEQS;
  const maxStepTokens = Math.max(
    options.maxNumBatchedTokens ?? DEFAULT_MAX_NUM_BATCHED_TOKENS,
    2 * WIDE_TOKENS,
  );
  const library = loadLlamaLibrary();
  const runner = await LlamaRunner.start({
    modelPath: options.modelPath,
    numGpuLayers: chooseGpuLayers(options.numGpuLayers ?? "auto", library.gpu, options.logger),
    maxModelLen: options.maxModelLen,
    numCells: options.numCells,
    numSequences: maxNumSeqs,
    numBatchTokens: maxStepTokens,
    numThreads: options.numThreads ?? Math.max(1, availableParallelism() - 1),
    kvType,
    adapters: options.adapters ?? [],
    modules: options.modules ?? [],
    embeddings: options.embeddings,
  });
  try {
    const { ready } = runner;
    const vocab = new LlamaVocab(library.functions, ready.modelAddress);
    const prefill = new PrefillEstimate();
    return new LlmEngine({
      model: modelInfo(
        new LlamaModelInfo(library.functions, ready.modelAddress),
        vocab,
        ready,
        options,
      ),
      runner,
      vocab,
      connector: await connect(options, ready, kvType, prefill),
      prefill,
      prefixCache: prefixCacheOptions(options, ready),
      runsAhead:
        (options.decodesAhead ?? true) &&
        (ready.memory.kind === "dense" || !options.keepsGenerated),
      scheduler: {
        numSlots: maxNumSeqs,
        numCells: ready.numCells,
        maxStepTokens,
        maxWaiting: options.maxWaiting ?? DEFAULT_MAX_WAITING,
        yieldsToDecodes: options.enableChunkedPrefill ?? true,
      },
      embedding: ready.embedding,
      logger: options.logger,
      clock: options.clock ?? systemClock,
    });
  } catch (error) {
    await runner[Symbol.asyncDispose]();
    throw error;
  }
}

/** Layers with a state of their own cannot be cut at any token. */
function prefixCacheOptions(
  { enablePrefixCaching = false, keepsGenerated = false }: LlamaEngineOptions,
  { memory }: RunnerReady,
): { readonly keepsGenerated: boolean } | undefined {
  return enablePrefixCaching && memory.kind === "dense" ? { keepsGenerated } : undefined;
}

/**
 * Refuses what this machine cannot do, before a model is fetched for it.
 *
 * @throws UsageError
 */
export function checkEngineOptions(
  options: Pick<LlamaEngineOptions, "kvCacheDtype" | "numGpuLayers">,
): void {
  readKvType(options);
  chooseGpuLayers(options.numGpuLayers ?? "auto", loadLlamaLibrary().gpu, silentLogger);
}

function readKvType({ kvCacheDtype = "f16" }: Pick<LlamaEngineOptions, "kvCacheDtype">): string {
  if (Object.hasOwn(KV_TYPES, kvCacheDtype)) return kvCacheDtype;
  throw new UsageError(
    `Cannot use KV cache type "${kvCacheDtype}": wanted one of ${Object.keys(KV_TYPES).join(", ")}`,
    { param: "kv-cache-dtype" },
  );
}

async function connect(
  options: LlamaEngineOptions,
  ready: RunnerReady,
  kvType: string,
  prefill: PrefillEstimate,
): Promise<KvConnector> {
  if (options.connect === undefined) return new NullConnector();
  const { memory } = ready;
  if (memory.unsupportedReason !== undefined) {
    options.logger.warn(`KV caching is off for ${options.modelName}: ${memory.unsupportedReason}`);
    return new NullConnector();
  }
  const layout: EngineKvLayout = {
    fingerprint: kvFingerprint(options.weightsFingerprint, kvType, memory),
    modelName: options.modelName,
    kvDtype: KV_TYPES[kvType]!.dtype,
    tokenPartBytes: (numTokens) => partBytes(memory.tokenPart, numTokens),
    statePartBytes: (position) => partBytes(memory.statePart, position),
    findHalfRows: halfRowsFinder(memory, kvType),
  };
  return options.connect(layout, (numTokens) => prefill.durationMs(numTokens));
}

/** Everything that decides the bytes of a KV blob. Rope settings are the model's own, so the weights stand for them. */
function kvFingerprint(
  weightsFingerprint: string,
  kvType: string,
  { kind, windowTokens }: MemoryLayout,
): string {
  const parts = [
    "warmkv-kv-v1",
    LLAMA_RELEASE,
    weightsFingerprint,
    kvType,
    "flash-attention",
    "unified",
    kind,
    String(windowTokens),
  ];
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 32);
}

function modelInfo(
  model: LlamaModelInfo,
  vocab: LlamaVocab,
  ready: RunnerReady,
  options: LlamaEngineOptions,
): ModelInfo {
  return {
    name: options.modelName,
    architecture: model.metadata("general.architecture") ?? "unknown",
    maxModelLen: ready.maxModelLen,
    vocabSize: vocab.size,
    numParameters: model.numParameters,
    chatTemplate: options.chatTemplate ?? model.metadata("tokenizer.chat_template"),
    bosText: vocab.textOf(vocab.bosToken),
    eosText: vocab.textOf(vocab.eosToken),
    addsBos: vocab.addsBos,
    modules: options.modules ?? [],
    embedding: ready.embedding && { ...ready.embedding, isAll: ready.isEncoder },
  } satisfies ModelInfo;
}
