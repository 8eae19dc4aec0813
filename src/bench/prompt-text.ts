import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { UsageError } from "../core/index.ts";

/** How many tokens the server makes of a text. */
export type TokenCounter = (text: string) => Promise<number>;

export interface CutPrompt {
  readonly text: string;
  readonly numTokens: number;
}

/** What English text comes to in most vocabularies; where a search starts from. */
const CHARACTERS_PER_TOKEN = 4;

/** Interpolation needs two to six probes; the bound is for vocabularies that never hit the number. */
const MAX_PROBES = 40;

/** Alice's Adventures in Wonderland, about 148 kB: see assets/README.md. */
export function readBundledText(): Promise<string> {
  return readFile(new URL("../../assets/alice.txt", import.meta.url), "utf8");
}

/** No two are equal, they differ from their first letters on, and all have the same length. */
export function freshHeading(): string {
  return `${randomBytes(6).toString("hex")} copied.\n\n`;
}

/**
 * Cuts `heading` and the beginning of `source` to `numTokens` tokens. The source starts over where it
 * is too short. Where no cut gives the exact number, the longest one below it is taken.
 *
 * @param heading what makes this prompt differ from others from its first token on
 * @throws UsageError when the heading alone is longer
 */
export async function cutPrompt(
  source: string,
  heading: string,
  numTokens: number,
  countTokens: TokenCounter,
): Promise<CutPrompt> {
  const textOf = (length: number): string =>
    heading + source.repeat(Math.ceil(length / source.length)).slice(0, length);

  // Invariant: low has too few tokens, high too many.
  let low = { length: 0, tokens: await countTokens(heading) };
  if (low.tokens > numTokens) {
    throw new UsageError(
      `Cannot make a prompt of ${numTokens} tokens: the heading alone takes ${low.tokens}`,
    );
  }
  let high: typeof low | undefined;
  let length = (numTokens - low.tokens) * CHARACTERS_PER_TOKEN;
  for (let probe = 0; probe < MAX_PROBES && low.tokens < numTokens; probe++) {
    const tokens = await countTokens(textOf(length));
    if (tokens > numTokens) high = { length, tokens };
    else low = { length, tokens };
    if (high === undefined) {
      const rate = (low.tokens + 1) / (low.length + 1);
      length = low.length + Math.ceil((numTokens - low.tokens + 1) / rate);
    } else {
      const gap = high.length - low.length;
      if (gap <= 1) break;
      // Every third probe halves, so that a crooked stretch of text cannot hold the search up.
      const share = probe % 3 === 2 ? 0.5 : (numTokens - low.tokens) / (high.tokens - low.tokens);
      length = low.length + Math.min(gap - 1, Math.max(1, Math.round(gap * share)));
    }
  }
  return { text: textOf(low.length), numTokens: low.tokens };
}
