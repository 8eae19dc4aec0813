import type { ChunkSpan } from "../core/index.ts";
import type { PrefillTurn } from "./prefill-claims.ts";

/** Of what a load may wait: the rest is for loading what another request has computed meanwhile. */
const MAX_WAIT_SHARE = 0.75;
/** Of the time to compute the same here: another engine, as fast and as busy, has then computed and stored it. */
const PATIENCE = 1.5;
/** A prefill that is over sooner is done again at little more cost than that of asking who is at it. */
const MIN_CLAIMED_PREFILL_MS = 500;
/** Once one has waited the other is almost there: only what is computed until the next look is not worth that. */
const MIN_AWAITED_PREFILL_MS = 100;

export interface PrefillTurnOptions {
  readonly numTokens: number;
  /** Of the whole prompt. */
  readonly spans: readonly ChunkSpan[];
  /** Leading tokens whose chunks are known to be stored. */
  readonly numKnownTokens: number;
  /** Leading tokens that are not computed in any case. */
  readonly numReadyTokens: number;
  readonly chunkTokens: number;
  readonly blockingTimeoutMs: number;
  readonly estimatePrefillMs: ((numTokens: number) => number) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What is worth a claim of a prompt that was looked up, what is worth a wait, and how long a one. */
export function prefillTurn(options: PrefillTurnOptions): PrefillTurn {
  const { numTokens, spans, numKnownTokens, numReadyTokens, signal } = options;
  const { chunkTokens, blockingTimeoutMs, estimatePrefillMs = () => Infinity } = options;
  const numMissing = (numStored: number): number =>
    numTokens - Math.max(spans[numStored - 1]?.end ?? 0, numReadyTokens);
  const numStored = spans.filter(({ end }) => end <= numKnownTokens).length;
  const prefillMs = estimatePrefillMs(numMissing(numStored));
  return {
    keys: spans.map(({ key }) => key),
    numStored,
    isWorthIt(numThen, hasWaited) {
      const missing = numMissing(numThen);
      const restMs = estimatePrefillMs(missing);
      if (hasWaited) return restMs >= MIN_AWAITED_PREFILL_MS;
      return missing >= chunkTokens && restMs >= MIN_CLAIMED_PREFILL_MS;
    },
    maxWaitMs: Math.min(MAX_WAIT_SHARE * blockingTimeoutMs, PATIENCE * prefillMs),
    signal,
  };
}
