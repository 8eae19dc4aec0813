import type { TokenStream } from "./token-stream.ts";

/** What concurrent answers come to while all of them decode. */
export interface DecodeWindow {
  /** From the moment when every client has its first token to the moment when the first one has its last. */
  readonly durationMs: number;
  /** Of all clients together, inside. */
  readonly numTokens: number;
  /** Waits of single clients from one event to the next, inside. */
  readonly waitsMs: readonly number[];
}

/** Undefined when there was no moment in which all of them were decoding. */
export function decodeWindow(streams: readonly TokenStream[]): DecodeWindow | undefined {
  const startMs = Math.max(...streams.map(({ arrivalsMs }) => arrivalsMs[0]!));
  const endMs = Math.min(...streams.map(({ arrivalsMs }) => arrivalsMs.at(-1)!));
  if (endMs <= startMs) return undefined;
  let numTokens = 0;
  const waitsMs: number[] = [];
  for (const { arrivalsMs, numTokens: numStreamTokens } of streams) {
    // A server may put several tokens into an event, and hold some back until a letter is whole.
    const tokensPerEvent = numStreamTokens / arrivalsMs.length;
    arrivalsMs.forEach((arrivalMs, index) => {
      if (arrivalMs <= startMs || arrivalMs > endMs) return;
      numTokens += tokensPerEvent;
      waitsMs.push(arrivalMs - arrivalsMs[index - 1]!);
    });
  }
  return { durationMs: endMs - startMs, numTokens, waitsMs };
}

/** All tokens, from the first request's leaving to the last token. */
export function wholeTokensPerSecond(streams: readonly TokenStream[]): number {
  const startMs = Math.min(...streams.map(({ sentMs }) => sentMs));
  const endMs = Math.max(...streams.map(({ arrivalsMs }) => arrivalsMs.at(-1)!));
  const numTokens = streams.reduce((sum, stream) => sum + stream.numTokens, 0);
  return perSecond(numTokens, endMs - startMs);
}

export function perSecond(count: number, durationMs: number): number {
  return (count / durationMs) * 1000;
}
