import type { TokenLogprobs } from "../engine/index.ts";

/** /v1/completions: four lists side by side. */
export interface CompletionLogprobs {
  readonly tokens: string[];
  /** Null for the first token of a prompt: nothing comes before it. */
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  /** Where each token begins in the answer's text, in characters. */
  readonly text_offset: number[];
}

/** /v1/chat/completions: one object for each token. */
export interface ChatLogprobs {
  readonly content: ChatTokenLogprob[];
  readonly refusal: null;
}

interface ChatTokenLogprob extends ChatLogprob {
  readonly top_logprobs: ChatLogprob[];
}

interface ChatLogprob {
  readonly token: string;
  readonly logprob: number;
  /** Null for a token that is not whole characters. */
  readonly bytes: number[] | null;
}

/** JSON knows no -Infinity: OpenAI's stand-in for "not a chance". */
const LOWEST_LOGPROB = -9999;

/** @param textOffset where the first of the tokens begins */
export function completionLogprobs(
  entries: readonly (TokenLogprobs | UnscoredToken)[],
  textOffset: number,
): CompletionLogprobs {
  const result: CompletionLogprobs = {
    tokens: [],
    token_logprobs: [],
    top_logprobs: [],
    text_offset: [],
  };
  let offset = textOffset;
  for (const entry of entries) {
    const isScored = entry.logprob !== undefined;
    result.tokens.push(entry.text);
    result.token_logprobs.push(isScored ? finite(entry.logprob) : null);
    result.top_logprobs.push(isScored ? topByText(entry) : null);
    result.text_offset.push(offset);
    offset += entry.text.length;
  }
  return result;
}

/** The first token of a prompt. */
export interface UnscoredToken {
  readonly text: string;
  readonly logprob?: undefined;
}

export function chatLogprobs(entries: readonly TokenLogprobs[]): ChatLogprobs {
  const content = entries.map((entry) => ({
    ...chatLogprob(entry),
    top_logprobs: entry.top.map(chatLogprob),
  }));
  return { content, refusal: null };
}

/** The alternatives and the token itself. Of two tokens with one text the likelier is told. */
function topByText(entry: TokenLogprobs): Record<string, number> {
  const byText = new Map<string, number>();
  for (const { text, logprob } of [...entry.top, entry]) {
    if (!byText.has(text)) byText.set(text, finite(logprob));
  }
  return Object.fromEntries(byText);
}

function chatLogprob(entry: { readonly text: string; readonly logprob: number }): ChatLogprob {
  const bytes = entry.text.includes("\uFFFD") ? null : [...Buffer.from(entry.text, "utf8")];
  return { token: entry.text, logprob: finite(entry.logprob), bytes };
}

function finite(logprob: number): number {
  return Math.max(logprob, LOWEST_LOGPROB);
}
