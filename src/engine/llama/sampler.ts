import { koffi } from "../../native/index.ts";
import type { SamplingParams } from "../sampling-params.ts";
import type { LlamaFunctions, Pointer } from "./bindings.ts";
import { Grammar } from "./grammar.ts";
import { TokenMask } from "./token-mask.ts";
import type { LlamaVocab } from "./vocab.ts";

/** How far back penalties look. */
const PENALTY_WINDOW_TOKENS = 4096;

/** What picks the next token of one request. Lives as long as the request: its random state goes on across preemption. */
export class LlamaSampler implements Disposable {
  readonly #functions: LlamaFunctions;
  readonly #chain: Pointer;
  readonly #vocabSize: number;
  readonly #grammar: Grammar | undefined;
  readonly #mask: TokenMask | undefined;
  /** Picked when a mask leaves nothing else. */
  readonly #endToken: number;

  /**
   * @param promptTokens what a repetition penalty counts beside the answer
   * @throws Error for a grammar that cannot be read
   */
  constructor(
    functions: LlamaFunctions,
    vocab: LlamaVocab,
    sampling: SamplingParams,
    promptTokens: Int32Array,
  ) {
    this.#functions = functions;
    this.#vocabSize = vocab.size;
    this.#endToken = vocab.endToken;
    this.#mask = TokenMask.of(sampling);
    if (sampling.grammar !== undefined) {
      this.#grammar = new Grammar(functions, vocab, sampling.grammar);
    }
    this.#chain = functions.llama_sampler_chain_init({ no_perf: true }) as Pointer;
    const add = (sampler: unknown): void => {
      functions.llama_sampler_chain_add(this.#chain, sampler);
    };
    if (sampling.logitBias.size > 0) {
      add(initLogitBias(functions, vocab.size, sampling.logitBias));
    }
    if (sampling.repetitionPenalty !== 1) {
      const penalty = functions.llama_sampler_init_penalties(
        vocab.size,
        PENALTY_WINDOW_TOKENS,
        sampling.repetitionPenalty,
        0,
        0,
      );
      for (const token of promptTokens.subarray(-PENALTY_WINDOW_TOKENS)) {
        functions.llama_sampler_accept(penalty, token);
      }
      add(penalty);
    }
    if (sampling.frequencyPenalty !== 0 || sampling.presencePenalty !== 0) {
      // OpenAI's penalties count the answer only: no prompt token is accepted.
      add(
        functions.llama_sampler_init_penalties(
          vocab.size,
          PENALTY_WINDOW_TOKENS,
          1,
          sampling.frequencyPenalty,
          sampling.presencePenalty,
        ),
      );
    }
    if (sampling.temperature <= 0) {
      add(functions.llama_sampler_init_greedy());
      return;
    }
    if (sampling.topK > 0) add(functions.llama_sampler_init_top_k(sampling.topK));
    if (sampling.topP < 1) add(functions.llama_sampler_init_top_p(sampling.topP, 1));
    if (sampling.minP > 0) add(functions.llama_sampler_init_min_p(sampling.minP, 1));
    add(functions.llama_sampler_init_temp(sampling.temperature));
    add(functions.llama_sampler_init_dist((sampling.seed ?? Math.random() * 2 ** 32) >>> 0));
  }

  /** Picks from the logits of output `index` of the last forward pass, and remembers the choice. */
  sample(context: Pointer, index: number): number {
    const mask = this.#mask;
    if (this.#grammar === undefined && mask === undefined)
      return this.#sampleOutput(context, index);
    const pointer = this.#functions.llama_get_logits_ith(context, index) as Pointer;
    const logits = new Float32Array(koffi.view(pointer, this.#vocabSize * 4));
    // Samplers do not expect that nothing is left.
    if (mask?.apply(logits) === false) return this.#endToken;
    const token =
      this.#grammar === undefined ? this.#sampleOutput(context, index) : this.sampleFrom(logits);
    mask?.accept(token);
    return token;
  }

  #sampleOutput(context: Pointer, index: number): number {
    return this.#functions.llama_sampler_sample(this.#chain, context, index) as number;
  }

  /** As sample(), from logits that lie elsewhere, with a grammar. */
  sampleFrom(logits: Float32Array): number {
    const grammar = this.#grammar!;
    const token = grammar.pick(this.#chain, logits);
    grammar.accept(token);
    this.#functions.llama_sampler_accept(this.#chain, token);
    return token;
  }

  [Symbol.dispose](): void {
    this.#functions.llama_sampler_free(this.#chain);
    this.#grammar?.[Symbol.dispose]();
  }
}

function initLogitBias(
  functions: LlamaFunctions,
  vocabSize: number,
  biases: ReadonlyMap<number, number>,
): unknown {
  // llama_logit_bias: i32 token, f32 bias.
  const packed = Buffer.alloc(biases.size * 8);
  let offset = 0;
  for (const [token, bias] of biases) {
    packed.writeInt32LE(token, offset);
    packed.writeFloatLE(bias, offset + 4);
    offset += 8;
  }
  return functions.llama_sampler_init_logit_bias(
    vocabSize,
    biases.size,
    koffi.as(packed, "uint8 *"),
  );
}
