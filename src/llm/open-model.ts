import type { CacheEngine } from "../cache/index.ts";
import type { CacheConfig } from "../config/index.ts";
import { type KvRole, createConnector } from "../connector/index.ts";
import {
  type Engine,
  type LlamaEngineOptions,
  checkEngineOptions,
  loadLlamaEngine,
} from "../engine/index.ts";
import { type ResolveModelOptions, resolveModel } from "../models/index.ts";
import { seededEngine } from "./seeded-engine.ts";

export interface OpenModelOptions
  extends
    Omit<
      LlamaEngineOptions,
      "modelPath" | "modelName" | "weightsFingerprint" | "connect" | "keepsGenerated" | "modules"
    >,
    Pick<ResolveModelOptions, "modules" | "downloadDir" | "revision" | "onProgress" | "signal"> {
  /** As users name it: a path, "owner/repo:quant" on the hub, or synth:25m. */
  readonly model: string;
  /** For requests that bring none; undefined: they are random. */
  readonly seed?: number | undefined;
  /** Undefined: no cache. */
  readonly cache?: CacheSettings | undefined;
}

export interface CacheSettings {
  readonly config: CacheConfig;
  readonly role?: KvRole | undefined;
  /** Variables that some remote stores are set by. Default: none. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface OpenedModel {
  /** Closes the cache with it. */
  readonly engine: Engine;
  /** Undefined where there is none, or where this model cannot be cached. */
  readonly cache: CacheEngine | undefined;
}

/**
 * From a model's name to an engine with its cache: the one place where the two are wired.
 *
 * @throws UsageError for a name or settings that cannot be; Error when the model cannot be loaded
 */
export async function openModel(options: OpenModelOptions): Promise<OpenedModel> {
  const { model, seed, cache: settings, logger, clock } = options;
  checkEngineOptions(options);
  const { path, fingerprint, modules } = await resolveModel(model, options);
  let cache: CacheEngine | undefined;
  const engine = await loadLlamaEngine({
    ...options,
    modelPath: path,
    modelName: model,
    modules,
    weightsFingerprint: fingerprint,
    keepsGenerated: settings?.config.saveDecodeCache,
    connect:
      settings &&
      (async (layout, estimatePrefillMs) => {
        const connected = await createConnector({
          ...settings,
          layout,
          estimatePrefillMs,
          logger,
          clock,
        });
        cache = connected.cache;
        return connected.connector;
      }),
  });
  return { engine: seed === undefined ? engine : seededEngine(engine, seed), cache };
}
