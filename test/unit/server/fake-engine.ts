import type {
  Engine,
  EngineStats,
  GenerateRequest,
  GenerationDelta,
  ModelInfo,
  PromptTokenLogprobs,
  TokenLogprobs,
} from "../../../src/engine/engine.ts";

export const BOS = 256;
const EOS = 257;

export interface FakeEngineOptions {
  /** The answer to a prompt. Default: the prompt in capitals. */
  readonly reply?: ((prompt: string, request: GenerateRequest) => string) | undefined;
  /** Awaited before each delta: a promise that the test settles makes the engine slow. */
  readonly beforeDelta?: ((request: GenerateRequest, index: number) => Promise<void>) | undefined;
  readonly beforeEmbedding?: (() => Promise<void>) | undefined;
  /** Of the token with this text. Default: -0.5. */
  readonly logprobOf?: ((text: string) => number) | undefined;
  readonly model?: Partial<ModelInfo> | undefined;
  readonly numCachedTokens?: number | undefined;
}

const fakeModel: ModelInfo = {
  name: "fake.gguf",
  architecture: "fake",
  maxModelLen: 4096,
  vocabSize: 258,
  numParameters: 0,
  chatTemplate: undefined,
  bosText: "<s>",
  eosText: "</s>",
  addsBos: true,
};

/**
 * An engine without a model. Its tokens are bytes, one delta is one character, and the answer is a
 * function of the prompt.
 */
export class FakeEngine implements Engine {
  readonly model: ModelInfo;
  failure: Error | undefined;
  readonly requests: GenerateRequest[] = [];
  readonly abortedIds: string[] = [];
  numDeltas = 0;
  numActive = 0;
  readonly #options: FakeEngineOptions;
  #onAbort: (() => void)[] = [];

  constructor(options: FakeEngineOptions = {}) {
    this.#options = options;
    this.model = { ...fakeModel, ...options.model };
  }

  async tokenize(text: string, options: { readonly addSpecial: boolean }): Promise<Int32Array> {
    const bytes = [...Buffer.from(text, "utf8")];
    return Int32Array.from(options.addSpecial && this.model.addsBos ? [BOS, ...bytes] : bytes);
  }

  detokenize(tokens: Int32Array): string {
    return Buffer.from(tokens.filter((token) => token < 256)).toString("utf8");
  }

  async *generate(
    request: GenerateRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<GenerationDelta, void, undefined> {
    signal?.throwIfAborted();
    this.requests.push(request);
    this.numActive++;
    try {
      let isLast = false;
      for (let index = 0; !isLast; index++) {
        await unlessAborted(this.#options.beforeDelta?.(request, index), signal);
        signal?.throwIfAborted();
        const delta = this.#delta(request, index);
        isLast = delta.finishReason !== undefined;
        this.numDeltas++;
        yield delta;
      }
    } finally {
      this.numActive--;
      if (signal?.aborted) {
        this.abortedIds.push(request.id);
        for (const resolve of this.#onAbort.splice(0)) resolve();
      }
    }
  }

  /** Resolves once this many requests have been aborted. */
  async aborted(numRequests: number): Promise<void> {
    while (this.abortedIds.length < numRequests) {
      await new Promise<void>((resolve) => this.#onAbort.push(resolve));
    }
  }

  /** The first byte and the length. */
  async embed(texts: readonly Int32Array[], signal?: AbortSignal): Promise<Float32Array[]> {
    await unlessAborted(this.#options.beforeEmbedding?.(), signal);
    return texts.map((tokens) => Float32Array.of(tokens[0]!, tokens.length));
  }

  resetPrefixCache(): void {}

  stats(): EngineStats {
    return {
      numRunning: this.numActive,
      numWaiting: 0,
      runningModules: [],
      waitingModules: [],
      numUsedCells: 10,
      numCells: 100,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Each token is the third likeliest, behind the one that follows it in the vocabulary. */
  #promptLogprobs(prompt: Int32Array): PromptTokenLogprobs[] {
    return Array.from(prompt.subarray(1), (token) => {
      const text = this.detokenize(Int32Array.of(token));
      const next = this.detokenize(Int32Array.of(token + 1));
      const top = [{ token: token + 1, text: next, logprob: -0.5 }];
      return { token, text, logprob: -2, rank: 3, top };
    });
  }

  #delta(request: GenerateRequest, index: number): GenerationDelta {
    const { sampling } = request;
    const prompt = this.detokenize(request.promptTokens);
    const whole = this.#options.reply?.(prompt, request) ?? prompt.toUpperCase();
    const places = sampling.stop.map((stop) => whole.indexOf(stop));
    const stopAt = Math.min(...places.filter((i) => i >= 0));
    const stopReason = sampling.stop[places.indexOf(stopAt)];
    const characters = Array.from(whole.slice(0, stopAt));
    const isStop = index >= characters.length;
    const isLength = !isStop && index === sampling.maxTokens - 1;
    const text = characters[index] ?? "";
    const token = isStop ? EOS : Buffer.from(text, "utf8")[0]!;
    return {
      text,
      tokens: [token],
      numCachedTokens: this.#options.numCachedTokens ?? 0,
      ...(sampling.numPromptLogprobs !== undefined &&
        index === 0 && { promptLogprobs: this.#promptLogprobs(request.promptTokens) }),
      ...(sampling.numLogprobs !== undefined && {
        logprobs: [logprobs(token, text, sampling, this.#options.logprobOf?.(text))],
      }),
      ...(isStop && stopReason !== undefined && { stopReason }),
      ...((isStop || isLength) && { finishReason: isStop ? "stop" : "length" }),
    };
  }
}

function logprobs(
  token: number,
  text: string,
  sampling: { readonly numLogprobs: number | undefined },
  logprob = -0.5,
): TokenLogprobs {
  const top = Array.from({ length: sampling.numLogprobs ?? 0 }, (_, rank) => ({
    token: token + rank,
    text: rank === 0 ? text : `${text}${rank}`,
    logprob: rank === 0 ? logprob : Number.NEGATIVE_INFINITY,
  }));
  return { token, text, logprob, top };
}

async function unlessAborted(
  work: Promise<void> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (work === undefined || signal === undefined) return work;
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    work.then(resolve, reject);
  });
  signal.throwIfAborted();
}

/** A promise and the function that settles it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}
