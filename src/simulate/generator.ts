import { SlotHeap } from "../tiers/policies/index.ts";
import { SeededRandom } from "./random.ts";
import type { TraceRequest } from "./trace.ts";

export interface GeneratorOptions {
  readonly numRequests: number;
  readonly blockTokens: number;
  readonly seed: number;
}

/*
 * The shape of the traffic: close to the public Mooncake conversation trace (3.4 requests a second,
 * 12,000 tokens each, two in five of which continue a conversation after two minutes in the
 * median), plus documents that many users ask about.
 */
const REQUESTS_PER_SECOND = 3.4;
/**
 * After each answer a user goes on with a chance of `MAX_CHANCE` times the square of a number that
 * is uniform over the users: a third of all do after the first, most do after the fifth.
 */
const MAX_CHANCE = 0.9;
/** What that comes to: artanh(sqrt(MAX_CHANCE)) / sqrt(MAX_CHANCE). */
const MEAN_TURNS = 1.92;
const THINK_TIME_MEDIAN_MS = 120_000;
const THINK_TIME_SPREAD = 2.7;
const NUM_SYSTEM_PROMPTS = 8;
const SYSTEM_PROMPT_TOKENS = 1500;
const NUM_DOCUMENTS = 400;
const DOCUMENT_TOKENS = 12_000;
const DOCUMENT_SHARE = 0.2;
const FIRST_QUESTION_MEDIAN_TOKENS = 6000;
const QUESTION_MEDIAN_TOKENS = 1500;
const QUESTION_SPREAD = 2.5;
const ANSWER_MEDIAN_TOKENS = 300;
const ANSWER_SPREAD = 2;
const MAX_PROMPT_TOKENS = 128_000;

interface Conversation {
  /** Whole blocks of the last prompt. */
  readonly blocks: number[];
  numTokens: number;
  readonly chanceOfMore: number;
  nextMs: number;
}

/**
 * Makes up a trace: conversations of several turns that begin with one of a few system prompts, a
 * part of them about one of many shared documents. The same options give the same trace. Memory
 * grows with the conversations that are open at the same time only.
 */
export function* generateTrace(
  options: GeneratorOptions,
): Generator<TraceRequest, void, undefined> {
  const { blockTokens } = options;
  const random = new SeededRandom(options.seed);
  const systemBlocks = Math.ceil(SYSTEM_PROMPT_TOKENS / blockTokens);
  const documentBlocks = Math.ceil(DOCUMENT_TOKENS / blockTokens);
  // Shared blocks are numbered by what they belong to, the rest as they come.
  const documentStart = NUM_SYSTEM_PROMPTS * systemBlocks;
  let nextBlock = documentStart + NUM_SYSTEM_PROMPTS * NUM_DOCUMENTS * documentBlocks;

  const begin = (nowMs: number): Conversation => {
    const systemPrompt = random.zipf(NUM_SYSTEM_PROMPTS);
    const blocks = range(systemPrompt * systemBlocks, systemBlocks);
    if (random.next() < DOCUMENT_SHARE) {
      const document = systemPrompt * NUM_DOCUMENTS + random.zipf(NUM_DOCUMENTS);
      blocks.push(...range(documentStart + document * documentBlocks, documentBlocks));
    }
    const numQuestionTokens = random.logNormal(FIRST_QUESTION_MEDIAN_TOKENS, QUESTION_SPREAD);
    return {
      blocks,
      numTokens: clampTokens(blocks.length * blockTokens + numQuestionTokens),
      chanceOfMore: MAX_CHANCE * random.next() ** 2,
      nextMs: nowMs,
    };
  };

  /** The next prompt of a conversation, which then waits for the one after it. */
  const ask = (conversation: Conversation): TraceRequest => {
    const { blocks, numTokens, nextMs } = conversation;
    while ((blocks.length + 1) * blockTokens <= numTokens) blocks.push(nextBlock++);
    const isWhole = blocks.length * blockTokens === numTokens;
    const numOutputTokens = clampTokens(random.logNormal(ANSWER_MEDIAN_TOKENS, ANSWER_SPREAD));
    const request = {
      timestampMs: Math.floor(nextMs),
      numInputTokens: numTokens,
      numOutputTokens,
      blocks: isWhole ? [...blocks] : [...blocks, nextBlock++],
    };
    const numQuestionTokens = random.logNormal(QUESTION_MEDIAN_TOKENS, QUESTION_SPREAD);
    conversation.numTokens = clampTokens(numTokens + numOutputTokens + numQuestionTokens);
    conversation.nextMs = nextMs + random.logNormal(THINK_TIME_MEDIAN_MS, THINK_TIME_SPREAD);
    return request;
  };

  const open: Conversation[] = [];
  const freeSlots: number[] = [];
  const waiting = new SlotHeap((a, b) => open[a]!.nextMs < open[b]!.nextMs);
  const meanGapMs = (1000 / REQUESTS_PER_SECOND) * MEAN_TURNS;
  let arrivalMs = 0;
  for (let count = 0; count < options.numRequests; count++) {
    let slot = waiting.first();
    if (slot === undefined || open[slot]!.nextMs > arrivalMs) {
      slot = freeSlots.pop() ?? open.length;
      open[slot] = begin(arrivalMs);
      waiting.insert(slot);
      arrivalMs += random.exponential(meanGapMs);
    }
    const conversation = open[slot]!;
    const request = ask(conversation);
    yield request;
    const goesOn = random.next() < conversation.chanceOfMore;
    if (goesOn && request.numInputTokens < MAX_PROMPT_TOKENS) waiting.update(slot);
    else {
      waiting.delete(slot);
      freeSlots.push(slot);
    }
  }
}

function range(start: number, length: number): number[] {
  return Array.from({ length }, (_, index) => start + index);
}

function clampTokens(numTokens: number): number {
  return Math.max(1, Math.min(MAX_PROMPT_TOKENS, Math.round(numTokens)));
}
