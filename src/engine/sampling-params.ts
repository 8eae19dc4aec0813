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
  /** Tokens that the answer never holds one after the other. */
  readonly bannedSequences: readonly Int32Array[];
  /** Undefined: all. */
  readonly allowedTokens: Int32Array | undefined;
  /** Added to the logit of each token id. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Undefined: a new one for each request. */
  readonly seed: number | undefined;
  readonly maxTokens: number;
  /** No end before this many tokens. */
  readonly minTokens: number;
  /** Text that ends the answer and, unless `includesStop`, is not part of it. */
  readonly stop: readonly string[];
  /** Keep what ended the answer, a stop string or one of `stopTokenIds`, in its text. */
  readonly includesStop: boolean;
  readonly stopTokenIds: readonly number[];
  /** Go on at an end-of-generation token. */
  readonly ignoreEos: boolean;
  /** Alternatives to report for each token; undefined: no log probabilities. */
  readonly numLogprobs: number | undefined;
  /** GBNF that the answer must match. */
  readonly grammar: string | undefined;
  /** Alternatives to report for each token of the prompt but the first; undefined: the prompt is not scored. */
  readonly numPromptLogprobs: number | undefined;
  /** Leave control tokens such as <|python_tag|> out of the text. */
  readonly skipsSpecialTokens: boolean;
}

export interface NumberRange {
  readonly min: number;
  readonly max: number;
  readonly isWhole?: boolean;
}

type NumericName = {
  [Name in keyof SamplingParams]: number extends SamplingParams[Name] ? Name : never;
}[keyof SamplingParams];

const MAX_COUNT: number = Number.MAX_SAFE_INTEGER;

/** What the numbers among them may be. */
export const samplingRanges: Readonly<Record<NumericName, NumberRange>> = {
  temperature: { min: 0, max: 100 },
  topP: { min: 0, max: 1 },
  topK: { min: -1, max: MAX_COUNT, isWhole: true },
  minP: { min: 0, max: 1 },
  presencePenalty: { min: -2, max: 2 },
  frequencyPenalty: { min: -2, max: 2 },
  repetitionPenalty: { min: 0.01, max: 100 },
  seed: { min: -MAX_COUNT, max: MAX_COUNT, isWhole: true },
  maxTokens: { min: 1, max: MAX_COUNT, isWhole: true },
  minTokens: { min: 0, max: MAX_COUNT, isWhole: true },
  numLogprobs: { min: 0, max: MAX_COUNT, isWhole: true },
  numPromptLogprobs: { min: 0, max: MAX_COUNT, isWhole: true },
};

export const defaultSamplingParams: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  bannedSequences: [],
  allowedTokens: undefined,
  logitBias: new Map(),
  seed: undefined,
  maxTokens: 16,
  minTokens: 0,
  stop: [],
  includesStop: false,
  stopTokenIds: [],
  ignoreEos: false,
  numLogprobs: undefined,
  grammar: undefined,
  numPromptLogprobs: undefined,
  skipsSpecialTokens: true,
};
