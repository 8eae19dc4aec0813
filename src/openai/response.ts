import type { TokenName } from "./logprobs.ts";
import type {
  FinishReason,
  GenerationDelta,
  PromptTokenLogprobs,
  TokenLogprobs,
} from "../engine/index.ts";
import type { Usage } from "./usage.ts";

/** What every answer and every chunk of a stream begins with. */
export interface ResponseHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** The model as the request named it. */
  readonly model: string;
}

/** One finished choice. */
export interface Answer {
  readonly text: string;
  readonly logprobs: readonly TokenLogprobs[];
  readonly finishReason: FinishReason;
  readonly stopReason?: string | number | undefined;
  readonly tokens: readonly number[];
  /** Undefined: they were not asked for. */
  readonly promptLogprobs?: readonly PromptTokenLogprobs[] | undefined;
}

/** What vLLM's clients may ask for beside OpenAI's fields. */
export interface WriterExtras {
  /** By choice: of the prompt. Undefined: no token ids are told. */
  readonly promptTokenIds?: readonly (readonly number[])[] | undefined;
  /** Whether those of the prompt are told. */
  readonly hasPromptLogprobs?: boolean | undefined;
  /** What tokens are called in log probabilities. Default: their text. */
  readonly tokenName?: TokenName | undefined;
}

/** vLLM's fields of a choice; none where they would say nothing. */
export interface ChoiceExtras {
  /** The stop string or the stop token that ended the answer. */
  readonly stop_reason?: string | number;
  readonly token_ids?: readonly number[];
}

export function choiceExtras(
  answer: Pick<Answer, "stopReason" | "tokens">,
  { promptTokenIds }: WriterExtras,
): ChoiceExtras {
  const { stopReason, tokens } = answer;
  return {
    ...(stopReason !== undefined && { stop_reason: stopReason }),
    ...(promptTokenIds !== undefined && { token_ids: tokens }),
  };
}

/**
 * Gives answers the shape of one endpoint. A stream is, for each choice, `firstChunks` once and `chunks`
 * for each delta, then one `usageChunk` if the client asked for it.
 */
export interface AnswerWriter {
  firstChunks(choiceIndex: number): Chunk[];
  /** None for a delta that tells the client nothing yet. */
  chunks(choiceIndex: number, delta: GenerationDelta): Chunk[];
  usageChunk(usage: Usage): Chunk;
  /** @param answers one for each choice, in order */
  whole(answers: readonly Answer[], usage: Usage): object;
}

export interface Chunk extends ResponseHead {
  readonly usage?: Usage | null;
}
