/** How the next token is picked. Defaults are OpenAI's. */
export interface SamplingParams {
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  /** 0 or below: all tokens. */
  readonly topK: number;
  readonly minP: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** 1 is none. */
  readonly repetitionPenalty: number;
  /** Added to the logit of each token id. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Undefined: a new one for each request. */
  readonly seed: number | undefined;
  readonly maxTokens: number;
  /** No end before this many tokens. */
  readonly minTokens: number;
  /** Text that ends the answer and is not part of it. */
  readonly stop: readonly string[];
  readonly stopTokenIds: readonly number[];
  /** Go on at an end-of-generation token. */
  readonly ignoreEos: boolean;
  /** Alternatives to report for each token; undefined: no log probabilities. */
  readonly numLogprobs: number | undefined;
  /** GBNF that the answer must match. */
  readonly grammar: string | undefined;
}

export const defaultSamplingParams: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: new Map(),
  seed: undefined,
  maxTokens: 16,
  minTokens: 0,
  stop: [],
  stopTokenIds: [],
  ignoreEos: false,
  numLogprobs: undefined,
  grammar: undefined,
};
