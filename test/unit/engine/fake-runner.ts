import type { EngineKvPart } from "../../../src/connector/connector.ts";
import { followingItems } from "../../../src/engine/llama/forward.ts";
import type {
  EmbeddingItem,
  ModelRunner,
  ScoredToken,
  StepItem,
  StepResult,
} from "../../../src/engine/model-runner.ts";

/**
 * A model of one rule: the next token is a hash of all tokens in the sequence's memory. So a wrong, missing
 * or misplaced prefix changes the answer. Its memory is what the engine has put there, and nothing else.
 */
export class FakeRunner implements ModelRunner {
  readonly memory = new Map<number, number[]>();
  readonly samplers = new Set<string>();
  failure: Error | undefined;
  readonly steps: StepItem[][] = [];
  numSteps = 0;
  numRuns = 0;
  /** Set to make steps wait, fail or run out of cells. */
  beforeStep: () => Promise<void> = () => new Promise(setImmediate);
  nextStatus: StepResult["status"] = "ok";
  /** Bytes of the parts that were taken out, by address. */
  readonly store = new Map<bigint, number[]>();

  #isRunning = false;
  /** What waits for the end of a run. */
  readonly #waiting: (() => void)[] = [];

  async run(
    items: readonly StepItem[],
    numSteps: number,
    onStep: (result: StepResult) => void,
  ): Promise<void> {
    this.#isRunning = true;
    this.numRuns++;
    let ready: StepResult | undefined;
    try {
      for (let left = numSteps; left > 0; left--) {
        await this.beforeStep();
        if (ready !== undefined && this.#waiting.length > 0) break;
        const result = this.#step(items);
        // A result arrives while the next step is under way.
        if (ready !== undefined) onStep(ready);
        ready = result;
        if (result.status !== "ok") break;
        if (left > 1) items = followingItems(items, result);
      }
    } finally {
      this.#isRunning = false;
      for (const command of this.#waiting.splice(0)) command();
    }
    onStep(ready!);
  }

  interrupt(): void {
    this.#inTurn(() => {});
  }

  #inTurn(command: () => void): void {
    if (this.#isRunning) this.#waiting.push(command);
    else command();
  }

  #step(items: readonly StepItem[]): StepResult {
    this.numSteps++;
    this.steps.push([...items]);
    const status = this.nextStatus;
    this.nextStatus = "ok";
    if (status !== "ok") return { sampled: [], status };
    const sampled = [];
    const scored: ScoredToken[][] = [];
    for (const item of items) {
      const memory = this.memory.get(item.sequence) ?? [];
      if (memory.length !== item.start) {
        throw new Error(
          `inconsistent positions: ${memory.length} in memory, step starts at ${item.start}`,
        );
      }
      if (item.scores !== undefined) scored.push(scoresOf(memory, item.tokens, item.scores));
      memory.push(...item.tokens);
      this.memory.set(item.sequence, memory);
      if (item.samplerId === undefined) continue;
      if (!this.samplers.has(item.samplerId)) throw new Error(`no sampler ${item.samplerId}`);
      sampled.push({ token: nextToken(memory) });
    }
    return { sampled, status, scored };
  }

  async addSampler(samplerId: string): Promise<void> {
    this.samplers.add(samplerId);
  }
  dropSampler(samplerId: string): void {
    this.#inTurn(() => this.samplers.delete(samplerId));
  }

  copy(from: number, to: number, numTokens: number): void {
    const memory = this.memory.get(from) ?? [];
    if ((this.memory.get(to) ?? []).length > 0)
      throw new Error("a copy goes into a sequence in use");
    if (memory.length < numTokens) throw new Error("there is less to copy than was said");
    this.memory.set(to, memory.slice(0, numTokens));
  }

  trim(sequence: number, start: number): void {
    this.#inTurn(() => this.#trim(sequence, start));
  }

  #trim(sequence: number, start: number): void {
    const memory = this.memory.get(sequence)?.slice(0, start) ?? [];
    if (memory.length === 0) this.memory.delete(sequence);
    else this.memory.set(sequence, memory);
  }

  async extract(sequence: number, parts: readonly EngineKvPart[]): Promise<number[]> {
    return parts.map((part) => {
      const tokens = this.memory.get(sequence)?.slice(part.start, part.end) ?? [];
      if (tokens.length !== part.end - part.start) return 0;
      this.store.set(part.address, tokens);
      return tokens.length;
    });
  }

  async restore(sequence: number, parts: readonly EngineKvPart[]): Promise<number> {
    const memory = this.memory.get(sequence) ?? [];
    for (const part of parts) memory.push(...this.store.get(part.address)!);
    this.memory.set(sequence, memory);
    return parts.length;
  }

  readonly passes: EmbeddingItem[][] = [];
  readonly #texts = new Map<number, number[]>();
  beforePass: () => Promise<void> = () => new Promise(setImmediate);

  /** A text's vector is its tokens. */
  async embed(items: readonly EmbeddingItem[]): Promise<Float32Array[]> {
    await this.beforePass();
    this.passes.push([...items]);
    const goesOn = new Set(items.filter(({ start }) => start > 0).map((item) => item.sequence));
    for (const sequence of this.#texts.keys()) {
      if (!goesOn.has(sequence)) this.#texts.delete(sequence);
    }
    for (const { sequence, tokens, start } of items) {
      const text = this.#texts.get(sequence) ?? [];
      if (text.length !== start) throw new Error(`${text.length} tokens, not ${start}`);
      this.#texts.set(sequence, [...text, ...tokens]);
    }
    const ended = items.filter(({ isLast }) => isLast);
    return ended.map(({ sequence }) => Float32Array.from(this.#texts.get(sequence)!));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export const END_TOKEN = 0;

/** Letters a to z as tokens 97 to 122; never the end token. */
export function nextToken(memory: readonly number[]): number {
  let hash = 7;
  for (const token of memory) hash = (Math.imul(hash, 31) + token) >>> 0;
  return 97 + (hash % 26);
}

/** The answer a lone request gets. */
export function answerTo(prompt: Int32Array, numTokens: number): string {
  const memory = [...prompt];
  while (memory.length < prompt.length + numTokens) memory.push(nextToken(memory));
  return String.fromCharCode(...memory.slice(prompt.length));
}

/** A score tells how much was in memory when it was made, and what this was to be followed by. */
function scoresOf(
  memory: readonly number[],
  tokens: Int32Array,
  { following }: { readonly following: Int32Array },
): ScoredToken[] {
  if (following.length !== tokens.length) throw new Error("each token has one that follows");
  return Array.from(following, (token, i) => ({
    token,
    logprob: -(memory.length + i + 1),
    rank: 1,
  }));
}
