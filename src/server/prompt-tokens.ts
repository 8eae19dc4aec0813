import type { Engine } from "../engine/index.ts";
import type { Prompt } from "../openai/index.ts";

/** How a client's text becomes tokens. */
export interface PromptTokensOptions {
  /** BOS and EOS where the model asks for them. */
  readonly addSpecial: boolean;
  /** Keep so many tokens, the last ones; -1: `maxTokens`. Undefined: all. */
  readonly truncateTo: number | undefined;
  /** As many as the model takes. */
  readonly maxTokens: number;
}

/** A prompt as token ids, cut at its beginning where it is to be. */
export async function promptTokens(
  engine: Engine,
  prompt: Prompt,
  { addSpecial, truncateTo, maxTokens }: PromptTokensOptions,
): Promise<Int32Array> {
  const limit = truncateTo === -1 ? maxTokens : (truncateTo ?? Infinity);
  if (prompt.kind === "tokens") return lastOf(prompt.tokens, limit);
  const tokens = await engine.tokenize(prompt.text, { addSpecial, parseSpecial: true });
  if (tokens.length <= limit) return tokens;
  const plain = await engine.tokenize(prompt.text, { addSpecial: false, parseSpecial: true });
  return truncated(tokens, plain, limit);
}

/** Keeps what a tokenizer puts around a text, as far as there is room. */
function truncated(tokens: Int32Array, plain: Int32Array, limit: number): Int32Array {
  const numAdded = tokens.length - plain.length;
  const numInFront = tokens.indexOf(plain[0]!);
  if (numAdded <= 0 || numAdded >= limit || numInFront > numAdded) return lastOf(tokens, limit);
  return Int32Array.from([
    ...tokens.subarray(0, numInFront),
    ...lastOf(plain, limit - numAdded),
    ...tokens.subarray(numInFront + plain.length),
  ]);
}

function lastOf(tokens: Int32Array, count: number): Int32Array {
  return tokens.length <= count ? tokens : tokens.slice(-count);
}
