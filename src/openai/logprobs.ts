import type { PromptTokenLogprobs, TokenLogprobs } from "../engine/index.ts";

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
  nameOf: TokenName = textOf,
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
    result.tokens.push(nameOf(entry));
    result.token_logprobs.push(isScored ? finite(entry.logprob) : null);
    result.top_logprobs.push(isScored ? topByName(entry, nameOf) : null);
    result.text_offset.push(offset);
    offset += entry.text.length;
  }
  return result;
}

/** vLLM's: for each token of a prompt what was likely there, by id; null for the first. */
export type PromptLogprobs = readonly (Readonly<Record<string, PromptLogprob>> | null)[];

interface PromptLogprob {
  readonly logprob: number;
  readonly rank: number;
  readonly decoded_token: string;
}

export function promptLogprobs(entries: readonly PromptTokenLogprobs[]): PromptLogprobs {
  return [null, ...entries.map(byId)];
}

function byId(entry: PromptTokenLogprobs): Record<string, PromptLogprob> {
  const ranked = entry.top.map((other, i) => ({ ...other, rank: i + 1 }));
  return Object.fromEntries(
    [entry, ...ranked.filter(({ token }) => token !== entry.token)].map(
      ({ token, text, logprob, rank }) => [
        String(token),
        { logprob: finite(logprob), rank, decoded_token: text },
      ],
    ),
  );
}

/** The first token of a prompt. */
export interface UnscoredToken {
  readonly token: number;
  readonly text: string;
  readonly logprob?: undefined;
}

/** What a token is called. */
export type TokenName = (entry: { readonly token: number; readonly text: string }) => string;

const textOf: TokenName = ({ text }) => text;
/** vLLM's way to tell tokens of one text apart. */
export const tokenIdName: TokenName = ({ token }) => `token_id:${token}`;

export function chatLogprobs(
  entries: readonly TokenLogprobs[],
  nameOf: TokenName = textOf,
): ChatLogprobs {
  const content = entries.map((entry) => ({
    ...chatLogprob(entry, nameOf),
    top_logprobs: entry.top.map((other) => chatLogprob(other, nameOf)),
  }));
  return { content, refusal: null };
}

/** The alternatives and the token itself. Of two tokens with one name the likelier is told. */
function topByName(entry: TokenLogprobs, nameOf: TokenName): Record<string, number> {
  const byName = new Map<string, number>();
  for (const other of [...entry.top, entry]) {
    const name = nameOf(other);
    if (!byName.has(name)) byName.set(name, finite(other.logprob));
  }
  return Object.fromEntries(byName);
}

function chatLogprob(
  entry: { readonly token: number; readonly text: string; readonly logprob: number },
  nameOf: TokenName,
): ChatLogprob {
  const bytes = entry.text.includes("\uFFFD") ? null : [...Buffer.from(entry.text, "utf8")];
  return { token: nameOf(entry), logprob: finite(entry.logprob), bytes };
}

function finite(logprob: number): number {
  return Math.max(logprob, LOWEST_LOGPROB);
}
