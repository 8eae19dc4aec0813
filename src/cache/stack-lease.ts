import type { ChunkKey } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import type { Lease, LoadPriority } from "../tiers/index.ts";
import type { TierGuard } from "./tier-guard.ts";

/**
 * How much of the hot tier one load may fill with chunks of lower tiers. A prompt larger than the
 * hot tier would otherwise push out its own beginning.
 */
const MAX_PROMOTED_SHARE = 0.5;

/** A run of keys that one tier holds. */
export interface LeasedPart {
  readonly guard: TierGuard;
  readonly lease: Lease;
  /** Index of its first key among the keys of the whole lease. */
  readonly start: number;
}

/** Leases of several tiers, one behind the other, as one. */
export class StackLease implements Lease {
  readonly keys: readonly ChunkKey[];
  readonly parts: readonly LeasedPart[];
  readonly #hot: TierGuard | undefined;

  /** @param hot the tier that takes what is loaded from the others */
  constructor(keys: readonly ChunkKey[], parts: readonly LeasedPart[], hot: TierGuard | undefined) {
    this.keys = keys;
    this.parts = parts;
    this.#hot = hot;
  }

  /** The name of the tier that holds the key at this index. */
  tierAt(index: number): string {
    return this.parts.findLast((part) => part.start <= index)!.guard.tier.name;
  }

  async *load(
    from: number,
    signal: AbortSignal,
    priority?: LoadPriority,
  ): AsyncGenerator<KvBuffer, void, undefined> {
    using watch = new AbortWatch(signal);
    const readers = this.parts
      .filter((part) => part.start + part.lease.keys.length > from)
      .map((part) => {
        const chunks = part.lease.load(Math.max(from - part.start, 0), signal, priority);
        return new PartReader(part, chunks, watch.aborted);
      });
    let promotableBytes = (this.#hot?.tier.stats().capacityBytes ?? 0) * MAX_PROMOTED_SHARE;
    let index = from;
    try {
      for (const [turn, reader] of readers.entries()) {
        const isHot = reader.part.guard === this.#hot;
        // What is in RAM already takes no slab: the tier below may read beside it.
        if (isHot) readers[turn + 1]?.start();
        for (;;) {
          const buffer = await reader.next();
          if (buffer === undefined) break;
          promotableBytes -= buffer.capacityBytes;
          if (!isHot && promotableBytes >= 0) await this.#promote(index, buffer);
          index++;
          yield buffer;
        }
        if (index < reader.part.start + reader.part.lease.keys.length) return;
      }
    } finally {
      await Promise.all(readers.map((reader) => reader.close()));
    }
  }

  [Symbol.dispose](): void {
    for (const part of this.parts) part.lease[Symbol.dispose]();
  }

  async #promote(index: number, buffer: KvBuffer): Promise<void> {
    await this.#hot?.store([{ key: this.keys[index]!, parent: this.keys[index - 1], buffer }]);
  }
}

/** Reads one part, and stops waiting for a tier that does not heed the signal. */
class PartReader {
  readonly part: LeasedPart;
  readonly #chunks: AsyncGenerator<KvBuffer, void, undefined>;
  readonly #aborted: Promise<void>;
  /** Asked for and not yet given to the consumer. */
  #pending: Promise<IteratorResult<KvBuffer, void>> | undefined;

  constructor(
    part: LeasedPart,
    chunks: AsyncGenerator<KvBuffer, void, undefined>,
    aborted: Promise<void>,
  ) {
    this.part = part;
    this.#chunks = chunks;
    this.#aborted = aborted;
  }

  /** Begins to read the first chunk. */
  start(): void {
    this.#pending ??= this.#chunks.next();
    // Whoever asks for it sees the failure; until then it is no one's.
    this.#pending.catch(() => {});
  }

  /** @returns undefined at the end, and when the tier failed or the load was aborted */
  async next(): Promise<KvBuffer | undefined> {
    this.#pending ??= this.#chunks.next();
    try {
      const result = await Promise.race([this.#pending, this.#aborted]);
      if (result === undefined) return undefined;
      this.#pending = undefined;
      return result.done ? undefined : result.value;
    } catch (error) {
      this.#pending = undefined;
      this.part.guard.report(error);
      return undefined;
    }
  }

  async close(): Promise<void> {
    await Promise.race([this.#giveBack(), this.#aborted]);
  }

  async #giveBack(): Promise<void> {
    const result = await this.#pending?.catch(() => undefined);
    if (result?.done === false) result.value[Symbol.dispose]();
    await this.#chunks.return().catch((error: unknown) => this.part.guard.report(error));
  }
}

/** A signal as a promise, for as long as this lives. */
class AbortWatch implements Disposable {
  readonly aborted: Promise<void>;
  readonly #signal: AbortSignal;
  #onAbort!: () => void;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.aborted = new Promise((resolve) => {
      this.#onAbort = () => resolve();
    });
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener("abort", this.#onAbort);
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
  }
}
