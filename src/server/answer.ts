import type { Context } from "hono";
import type { GenerateRequest } from "../engine/index.ts";
import {
  ApiError,
  UsageCounter,
  checkTokenId,
  streamEvents,
  toSamplingParams,
} from "../openai/index.ts";
import type { AnswerWriter, ChoiceDelta, SamplingFields } from "../openai/index.ts";
import { tokenizeBadWords } from "./bad-words.ts";
import { likeliestAnswers } from "./best-of.ts";
import { Deadline } from "./deadline.ts";
import { eventStreamResponse } from "./event-stream.ts";
import { collectAnswers, generateChoices } from "./generation.ts";
import type { Service } from "./service.ts";

/** What an endpoint has made of its body. */
export interface Question {
  readonly engineId: string;
  readonly fields: SamplingFields;
  readonly prompts: readonly Int32Array[];
  /** The field that the prompts came from. */
  readonly promptParam: "prompt" | "messages";
  readonly writer: AnswerWriter;
  readonly numLogprobs: number | undefined;
  /** As the client asked; undefined: `defaultMaxTokens` or as many as there is room for. */
  readonly maxTokens: number | undefined;
  readonly defaultMaxTokens: number;
  /** GBNF that each answer must match. */
  readonly grammar: string | undefined;
  /** Leave control tokens out of the text. */
  readonly skipsSpecialTokens: boolean;
  /** Alternatives to report for the tokens of the prompt; undefined: it is not scored. */
  readonly numPromptLogprobs?: number | undefined;
  /** Answers to make for each prompt, of which the `n` likeliest are given. Default: n. */
  readonly bestOf?: number | undefined;
  /** Told of the answer when it is whole, if there is one only. */
  readonly onAnswered?: ((text: string, tokens: readonly number[]) => void) | undefined;
}

/** Answers in one piece or as a stream of events, and gives up when the client has gone. */
export async function answer(
  service: Service,
  context: Context,
  question: Question,
): Promise<Response> {
  service.checkAlive();
  const { fields, prompts, writer } = question;
  const { n: numChoices = 1 } = fields;
  const { bestOf = numChoices } = question;
  const bannedSequences = await tokenizeBadWords(service.engine, fields.bad_words);
  const requests = prompts.flatMap((tokens, index) =>
    generateRequests(service, question, tokens, bannedSequences, index * bestOf),
  );
  const counter = new UsageCounter(
    prompts.map((tokens) => tokens.length),
    bestOf,
  );
  const controller = abortedBy(context.req.raw.signal);
  const deadline = new Deadline(service.timeoutMs(context), controller);
  const choices = deadline.guard(generateChoices(service.engine, requests, controller));
  const deltas = requests.length === 1 ? overheard(choices, question.onAnswered) : choices;
  if (fields.stream === true) {
    const events = streamEvents(deltas, writer, counter, fields.stream_options ?? {});
    return eventStreamResponse(service, context, events, controller);
  }
  try {
    const answers = await collectAnswers(deltas, requests.length, ({ choiceIndex, delta }) =>
      counter.add(choiceIndex, delta),
    );
    return context.json(writer.whole(likeliestAnswers(answers, bestOf, numChoices), counter.usage));
  } catch (error) {
    if (!context.req.raw.signal.aborted) throw error;
    // Nobody reads this; the status is for the log.
    throw new ApiError(499, "The client closed the request", { cause: error });
  }
}

/** Hands deltas on, and says at the end what they came to. */
async function* overheard(
  deltas: AsyncGenerator<ChoiceDelta, void, undefined>,
  onAnswered: Question["onAnswered"],
): AsyncGenerator<ChoiceDelta, void, undefined> {
  let text = "";
  const tokens: number[] = [];
  for await (const choice of deltas) {
    text += choice.delta.text;
    tokens.push(...choice.delta.tokens);
    yield choice;
  }
  onAnswered?.(text, tokens);
}

function generateRequests(
  service: Service,
  question: Question,
  promptTokens: Int32Array,
  bannedSequences: readonly Int32Array[],
  firstIndex: number,
): GenerateRequest[] {
  const { fields, engineId, grammar, skipsSpecialTokens, numPromptLogprobs } = question;
  const { vocabSize } = service.engine.model;
  for (const token of promptTokens) checkTokenId(token, vocabSize, question.promptParam);
  const maxTokens = fitMaxTokens(service, question, promptTokens.length);
  const { n = 1 } = fields;
  const { bestOf = n } = question;
  const isOnly = question.prompts.length === 1 && bestOf === 1;
  return Array.from({ length: bestOf }, (_, choiceIndex) => ({
    id: isOnly ? engineId : `${engineId}-${firstIndex + choiceIndex}`,
    promptTokens,
    sampling: toSamplingParams(fields, {
      maxTokens,
      // To tell the likeliest, all have to be known.
      numLogprobs: question.numLogprobs ?? (bestOf > n ? 0 : undefined),
      vocabSize,
      choiceIndex,
      grammar,
      bannedSequences,
      skipsSpecialTokens,
      numPromptLogprobs,
    }),
    cacheSalt: fields.cache_salt,
    module: service.module(fields.model)?.name,
    kvTransferParams: fields.kv_transfer_params,
    priority: fields.priority,
  }));
}

/** @throws ApiError when prompt and answer do not fit into the model's context */
function fitMaxTokens(service: Service, question: Question, numPromptTokens: number): number {
  const { maxModelLen } = service.engine.model;
  const { maxTokens, promptParam } = question;
  const numFree = maxModelLen - numPromptTokens;
  if (numFree >= Math.max(1, maxTokens ?? 0)) {
    return maxTokens ?? Math.min(question.defaultMaxTokens, numFree);
  }
  const wanted =
    maxTokens === undefined
      ? `the prompt has ${numPromptTokens} tokens and leaves no room for an answer`
      : `you requested ${numPromptTokens + maxTokens} tokens (${numPromptTokens} in the ${promptParam}, ${maxTokens} in the completion)`;
  throw new ApiError(
    400,
    `This model's maximum context length is ${maxModelLen} tokens. However, ${wanted}.`,
    { param: promptParam, code: "context_length_exceeded" },
  );
}

/** The client's going away ends the generation; so may others. */
export function abortedBy(signal: AbortSignal): AbortController {
  const controller = new AbortController();
  if (signal.aborted) controller.abort();
  else signal.addEventListener("abort", () => controller.abort(), { once: true });
  return controller;
}
