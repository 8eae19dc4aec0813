import type { CacheEngine, CacheStats } from "../cache/index.ts";
import { type CacheOptions, loadCacheConfig } from "../config/index.ts";
import { type Logger, UsageError, silentLogger } from "../core/index.ts";
import {
  type ChatMessage,
  ChatTemplate,
  type Engine,
  type EngineStats,
  type ModelInfo,
  type RenderOptions,
} from "../engine/index.ts";
import { type LoraFile, type ModelProgress, parseLoraFile } from "../models/index.ts";
import { type Answer, EngineAnswer, type GenerateOptions } from "./answer.ts";
import { checkModelName, checkOptions } from "./check-options.ts";
import { checkMessages, checkPrompt } from "./check-prompt.ts";
import { openModel } from "./open-model.ts";

export interface LLMOptions {
  /** Settings of the KV cache, as in docs/configuration.md in camel case; false: no cache. */
  readonly cache?: CacheOptions | false | undefined;
  /** Longest prompt plus answer, in tokens. */
  readonly maxModelLen?: number | undefined;
  /** Requests computed at the same time. Default 8. */
  readonly maxNumSeqs?: number | undefined;
  /** Tokens of one step, of all requests together. */
  readonly maxNumBatchedTokens?: number | undefined;
  /** Keep prompts in the engine's memory and share their KV. Default false. */
  readonly enablePrefixCaching?: boolean | undefined;
  /** Compute prompts by pieces, beside answers that go on. Default true. */
  readonly enableChunkedPrefill?: boolean | undefined;
  /** KV cells of all requests together. */
  readonly ctxSize?: number | undefined;
  /** Threads that compute. Default: the cores less one. */
  readonly threads?: number | undefined;
  /** Layers on a GPU; "all": there must be one. Default "auto": all, where there is one. */
  readonly gpuLayers?: number | "auto" | "all" | undefined;
  /** Element type of the KV: f16, q8_0, ... */
  readonly kvCacheDtype?: string | undefined;
  /** LoRA adapters to add to the model: GGUF files. */
  readonly lora?: readonly (string | LoraFile)[] | undefined;
  /** LoRA adapters by name, for requests that ask for one of them. */
  readonly loraModules?: Readonly<Record<string, string | LoraFile>> | undefined;
  /**
   * Make embeddings, too; "mean", "cls" and "last" say how the vectors of a text become one. Default: where the
   * model is made for them.
   */
  readonly embeddings?: boolean | "mean" | "cls" | "last" | undefined;
  /** Makes the answers of requests without a seed repeatable. Default: they are random. */
  readonly seed?: number | undefined;
  /** A Jinja template in place of the model's own. */
  readonly chatTemplate?: string | undefined;
  /** Branch, tag or commit of a model on the hub. Default "main". */
  readonly revision?: string | undefined;
  /** Where downloaded models are kept. Default: the Hugging Face cache. */
  readonly downloadDir?: string | undefined;
  /** Called while a model is downloaded or made. */
  readonly onProgress?: ((progress: ModelProgress) => void) | undefined;
  /** Ends a download; what has come is kept. */
  readonly signal?: AbortSignal | undefined;
  /** Default: silent. */
  readonly logger?: Logger | undefined;
}

export interface ChatOptions extends GenerateOptions, RenderOptions {}

/**
 * A model in this process, with its KV kept warm.
 *
 * @example
 * await using llm = await LLM.load("model.gguf", { cache: { maxLocalCpuSize: "5GiB" } });
 * for await (const text of llm.generate(prompt, { maxTokens: 200 })) process.stdout.write(text);
 */
export class LLM implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #cache: CacheEngine | undefined;
  readonly #template: ChatTemplate | undefined;

  /**
   * @param model a path to a .gguf file, "owner/repo:quant" on the Hugging Face hub, or synth:25m
   * @throws UsageError for a name or settings that cannot be
   */
  static async load(model: string, options: LLMOptions = {}): Promise<LLM> {
    checkModelName(model);
    checkOptions(options);
    const { cache = {}, logger = silentLogger, ctxSize, threads, gpuLayers, lora = [] } = options;
    const { loraModules = {} } = options;
    const fileOf = (file: string | LoraFile): LoraFile =>
      typeof file === "string" ? parseLoraFile(file) : file;
    const opened = await openModel({
      ...options,
      model,
      numCells: ctxSize,
      numThreads: threads,
      numGpuLayers: gpuLayers,
      adapters: lora.map(fileOf),
      modules: Object.entries(loraModules).map(([name, file]) => ({ name, ...fileOf(file) })),
      cache: cache === false ? undefined : { config: readConfig(cache, logger) },
      logger,
    });
    return new LLM(opened.engine, opened.cache);
  }

  private constructor(engine: Engine, cache: CacheEngine | undefined) {
    this.#engine = engine;
    this.#cache = cache;
    const source = engine.model.chatTemplate;
    if (source !== undefined) this.#template = new ChatTemplate(source, engine.model);
  }

  get model(): ModelInfo {
    return this.#engine.model;
  }

  /** Continues a text, or token ids. Leaving the loop ends the request. */
  generate(prompt: string | Int32Array, options: GenerateOptions = {}): Answer {
    return new EngineAnswer(this.#engine, () => this.#promptTokens(prompt), options);
  }

  /** Answers a conversation by the model's chat template. */
  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): Answer {
    const { addGenerationPrompt, variables, tools, ...generation } = options;
    const text = this.renderChat(messages, { addGenerationPrompt, variables, tools });
    return new EngineAnswer(this.#engine, () => this.#promptTokens(text), generation);
  }

  /** The prompt that `chat` would send. */
  renderChat(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    checkMessages(messages);
    if (this.#template !== undefined) return this.#template.render(messages, options);
    throw new UsageError("The model has no chat template: give one as the option chatTemplate", {
      param: "chatTemplate",
    });
  }

  /** Turns texts, or token ids, into vectors of length 1. */
  async embed(
    texts: readonly (string | Int32Array)[],
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Float32Array[]> {
    const tokenized = await Promise.all(texts.map((text) => this.#promptTokens(text)));
    return this.#engine.embed(tokenized, options.signal);
  }

  /** Text to token ids, with the special tokens that the model puts around a prompt. */
  tokenize(text: string, options: { readonly addSpecial?: boolean } = {}): Promise<Int32Array> {
    const { addSpecial = true } = options;
    return this.#engine.tokenize(text, { addSpecial, parseSpecial: true });
  }

  detokenize(tokens: Int32Array): string {
    return this.#engine.detokenize(tokens);
  }

  stats(): { readonly engine: EngineStats; readonly cache: CacheStats | undefined } {
    return { engine: this.#engine.stats(), cache: this.#cache?.stats() };
  }

  /** What `await using` does, for those who cannot write that. */
  close(): Promise<void> {
    return this[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#engine[Symbol.asyncDispose]());
  }

  async #promptTokens(prompt: string | Int32Array): Promise<Int32Array> {
    checkPrompt(prompt, this.model.vocabSize);
    return typeof prompt === "string" ? this.tokenize(prompt) : prompt;
  }
}

/** The environment does not decide for a library: only what it was given. */
function readConfig(
  cache: CacheOptions,
  logger: Logger,
): ReturnType<typeof loadCacheConfig>["config"] {
  const { config, warnings } = loadCacheConfig({ env: {}, cwd: process.cwd(), overrides: cache });
  for (const warning of warnings) logger.warn(warning);
  return config;
}
