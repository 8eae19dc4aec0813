import type { ChunkSpan } from "../core/index.ts";
import { type PromptPart, keysOf } from "./prompt-chunker.ts";
import type { TierStack } from "./tier-stack.ts";

export interface MoveOptions {
  /** Names of tiers. */
  readonly from: string;
  readonly to: string;
  /** Leave the chunks where they are, too. */
  readonly isCopy: boolean;
}

/**
 * Puts chunks of one tier into another, and removes from the first what the second then holds.
 *
 * @returns how many leading chunks the second tier holds
 */
export async function moveChunks(
  spans: readonly ChunkSpan[],
  tiers: TierStack,
  options: MoveOptions,
  signal: AbortSignal,
): Promise<number> {
  const source = tiers.tier(options.from);
  const target = tiers.tier(options.to);
  const keys = keysOf(spans);
  using lease = await source.acquire(keys);
  let numOffered = 0;
  for await (using buffer of lease.load(0, signal)) {
    const { key, parent } = spans[numOffered]!;
    if ((await target.store([{ key, parent, buffer }])) === 0) break;
    numOffered++;
  }
  await target.flush();
  const numMoved = await target.lookup(keys.slice(0, numOffered));
  if (!options.isCopy) await source.remove(keys.slice(0, numMoved));
  return numMoved;
}

/**
 * Puts what the first tier has of these state parts into the second one, each for itself.
 *
 * @returns the last boundary whose state part was moved, 0 if none was
 */
export async function moveStates(
  parts: readonly PromptPart[],
  tiers: TierStack,
  options: MoveOptions,
  signal: AbortSignal,
): Promise<number> {
  let end = 0;
  for (const part of parts) {
    if ((await tiers.tier(options.from).lookup([part.key])) === 0) continue;
    if ((await moveChunks([part], tiers, options, signal)) === 1) end = part.end;
  }
  return end;
}
