import type { CacheEngine } from "../cache/index.ts";
import { describeConfig, loadCacheConfig } from "../config/index.ts";
import type { KvRole } from "../connector/index.ts";
import { UsageError } from "../core/index.ts";
import type { Logger } from "../core/index.ts";
import { ChatTemplate } from "../engine/index.ts";
import { type CacheSettings, openModel } from "../llm/index.ts";
import { type NamedLoraFile, parseLoraFile, parseLoraModule } from "../models/index.ts";
import { Metrics, createLogger, readLogLevel } from "../observability/index.ts";
import type { TierLevels } from "../observability/index.ts";
import { checkAddress, createApp, serve } from "../server/index.ts";
import { readChatTemplate } from "./chat-template-flag.ts";
import { parseKvTransferConfig } from "./kv-transfer-config.ts";
import { ModelProgressLine } from "./model-progress-line.ts";
import type { ServeFlags } from "./serve.ts";
import { firstSignal } from "./shutdown.ts";
import { readVersion } from "./version.ts";

/**
 * Serves until a signal ends it.
 *
 * @throws UsageError for settings that cannot be, before anything large is loaded where that is possible
 */
export async function runService(model: string, flags: ServeFlags): Promise<void> {
  const logger = createLogger({
    level: flags.logLevel ?? readLogLevel(process.env),
    format: flags.logFormat,
  });
  if (flags.ignored !== undefined) logger.warn(flags.ignored);
  const apiKeys = checkApiKeys(flags.apiKey ?? []);
  const templateText = flags.chatTemplate && readChatTemplate(flags.chatTemplate);
  const cacheSettings = readCacheSettings(flags.kvTransferConfig, logger);

  const address = { host: flags.host, port: flags.port };
  await checkAddress(address);
  const opened = await open(model, flags, templateText, cacheSettings, logger);
  await using engine = opened.engine;
  const { chatTemplate } = engine.model;
  const [servedName = model, ...otherNames] = flags.servedModelName ?? [];
  using metrics = new Metrics({
    modelName: servedName,
    engineStats: () => engine.stats(),
    tierLevels: () => tierLevels(opened.cache),
  });
  const app = createApp({
    engine,
    servedModelNames: [servedName, ...otherNames],
    version: readVersion(),
    chatTemplate:
      chatTemplate === undefined ? undefined : new ChatTemplate(chatTemplate, engine.model),
    apiKeys,
    cache: opened.cache,
    metrics,
    remembersTurns: cacheSettings?.config.saveDecodeCache,
    requestTimeoutMs: flags.requestTimeout && flags.requestTimeout * 1000,
    logger,
  });
  const server = await serve(app, address);
  logger.info(`Listening on ${server.url}`);

  const signal = await firstSignal(process, () => process.exit(0));
  logger.info(`Received ${signal}: answers under way have ${flags.shutdownTimeout} s to end`);
  await server.close(flags.shutdownTimeout * 1000);
}

async function open(
  model: string,
  flags: ServeFlags,
  chatTemplate: string | undefined,
  cache: CacheSettings | undefined,
  logger: Logger,
): ReturnType<typeof openModel> {
  using progress = new ModelProgressLine(model);
  return await openModel({
    model,
    maxModelLen: flags.maxModelLen,
    numCells: flags.ctxSize,
    maxNumSeqs: flags.maxNumSeqs,
    maxNumBatchedTokens: flags.maxNumBatchedTokens,
    enablePrefixCaching: flags.enablePrefixCaching,
    enableChunkedPrefill: flags.enableChunkedPrefill,
    numThreads: flags.threads,
    numGpuLayers: flags.gpuLayers,
    kvCacheDtype: flags.kvCacheDtype,
    seed: flags.seed,
    revision: flags.revision,
    downloadDir: flags.downloadDir,
    adapters: (flags.lora ?? []).map(parseLoraFile),
    modules: readLoraModules(model, flags),
    embeddings: flags.pooling ?? asksForEmbeddings(flags),
    chatTemplate,
    cache,
    onProgress: (step) => progress.show(step),
    logger,
  });
}

/** @throws UsageError for one that cannot be told from others by its name */
function readLoraModules(model: string, flags: ServeFlags): NamedLoraFile[] {
  const modules = (flags.loraModules ?? []).map(parseLoraModule);
  const taken = new Set(flags.servedModelName ?? [model]);
  for (const { name } of modules) {
    if (!taken.has(name)) taken.add(name);
    else {
      throw new UsageError(`Cannot use --lora-modules "${name}": there is a model of that name`, {
        param: "--lora-modules",
      });
    }
  }
  return modules;
}

/** Undefined: where the model is made for them. */
function asksForEmbeddings({ embeddings, runner, convert, task }: ServeFlags): true | undefined {
  return embeddings || runner === "pooling" || convert === "embed" || task === "embed"
    ? true
    : undefined;
}

/** Undefined: nobody asked for a cache. */
function readCacheSettings(
  kvTransferConfig: string | undefined,
  logger: Logger,
): CacheSettings | undefined {
  const transfer =
    kvTransferConfig === undefined ? undefined : parseKvTransferConfig(kvTransferConfig);
  const isAskedFor = transfer?.isCacheOn ?? Object.keys(process.env).some(isCacheSetting);
  if (!isAskedFor) return undefined;
  const { config, warnings } = loadCacheConfig({
    env: process.env,
    cwd: process.cwd(),
    connectorExtraConfig: transfer?.extraConfig,
  });
  for (const warning of warnings) logger.warn(warning);
  logger.debug(describeConfig(config));
  return { config, role: readRole(transfer?.role), env: process.env };
}

/** LMCache's LMCACHE_FORCE_SKIP_SAVE, with any value, makes a consumer of who would store. */
function readRole(role: KvRole = "kv_both"): KvRole {
  const skipsSave = (process.env["LMCACHE_FORCE_SKIP_SAVE"] ?? "") !== "";
  return skipsSave && role === "kv_both" ? "kv_consumer" : role;
}

/** Variables of LMCache that say nothing of a cache. */
const NO_SETTINGS: ReadonlySet<string> = new Set(["LMCACHE_LOG_LEVEL", "LMCACHE_FORCE_SKIP_SAVE"]);

function isCacheSetting(name: string): boolean {
  return name.startsWith("LMCACHE_") && !NO_SETTINGS.has(name);
}

/** An empty key would let everybody in who sends none. */
function checkApiKeys(keys: readonly string[]): readonly string[] {
  if (!keys.includes("")) return keys;
  throw new UsageError("Cannot use an empty --api-key (or VLLM_API_KEY): wanted a secret", {
    param: "--api-key",
  });
}

function tierLevels(cache: CacheEngine | undefined): TierLevels[] {
  return Object.entries(cache?.stats().tiers ?? {}).map(([name, stats]) => ({ name, ...stats }));
}
