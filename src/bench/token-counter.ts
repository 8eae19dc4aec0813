import { patientFetch } from "./patient-fetch.ts";
import type { TokenCounter } from "./prompt-text.ts";

export interface TokenizeServer {
  /** With /v1, as OpenAI clients want it; /tokenize lies beside that. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly model: string;
}

/** One server's way of asking; `undefined` when the answer is not of its form. */
interface Dialect {
  body(text: string, model: string): unknown;
  count(answer: TokenizeAnswer): number | undefined;
}

interface TokenizeAnswer {
  readonly count?: number;
  readonly tokens?: readonly unknown[];
}

const DIALECTS: readonly Dialect[] = [
  // vLLM's, and ours.
  { body: (prompt, model) => ({ model, prompt }), count: (answer) => answer.count },
  // llama-server's.
  {
    body: (content) => ({ content, add_special: true }),
    count: (answer) => answer.tokens?.length,
  },
];

const PROBE = "How many tokens is this?";

/** Counts by the server's /tokenize; undefined when it has none. */
export async function serverTokenCounter(
  server: TokenizeServer,
  signal?: AbortSignal,
): Promise<TokenCounter | undefined> {
  for (const dialect of DIALECTS) {
    const count = await ask(server, dialect, PROBE, signal);
    if (count === undefined || count === 0) continue;
    return async (text) => {
      const numTokens = await ask(server, dialect, text, signal);
      if (numTokens === undefined) throw new Error("The server stopped answering /tokenize");
      return numTokens;
    };
  }
  return undefined;
}

/** What English text comes to in most vocabularies. */
const CHARACTERS_PER_TOKEN = 4;

/**
 * Counts at the rate of one text, for servers without /tokenize.
 *
 * @param numTokens how many the server made of it; undefined where it does not say
 */
export function estimateTokens(sample: string, numTokens: number | undefined): TokenCounter {
  const charactersPerToken =
    numTokens === undefined ? CHARACTERS_PER_TOKEN : sample.length / numTokens;
  return (text) => Promise.resolve(Math.ceil(text.length / charactersPerToken));
}

async function ask(
  server: TokenizeServer,
  dialect: Dialect,
  text: string,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const response = await patientFetch(server.baseUrl.replace(/\/v1\/?$/, "") + "/tokenize", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${server.apiKey}` },
    body: JSON.stringify(dialect.body(text, server.model)),
    signal: signal ?? null,
  });
  if (!response.ok) {
    await response.body?.cancel();
    return undefined;
  }
  return dialect.count((await response.json()) as TokenizeAnswer);
}
