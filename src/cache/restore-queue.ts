import { MiB } from "../core/index.ts";
import type { LoadedChunk } from "./cache-match.ts";

/** The engine starts on a small batch while the next one is being checked. */
const FIRST_BATCH_BYTES = 2 * MiB;
/** Each batch wakes two threads, a quarter of a millisecond together: so there are few, each larger than the last. */
const BATCH_GROWTH = 4;
const MAX_BATCH_BYTES = 32 * MiB;
const MAX_BATCH_CHUNKS = 64;
/** One that is being restored, and one that waits for it. */
const MAX_BATCHES_IN_FLIGHT = 2;

/**
 * Puts chunks into an engine, in order, and compares the checksums of those that have one.
 *
 * @returns how many are in
 */
export type ChunkConsumer = (chunks: readonly LoadedChunk[]) => Promise<number>;

/**
 * Hands chunks to an engine while the next ones are being read and checked: in batches, and what
 * there is when the engine has nothing else to do. Owns the buffers that are pushed.
 */
export class RestoreQueue {
  readonly #consume: ChunkConsumer;
  readonly #onRefused: (chunk: LoadedChunk) => void;
  #waiting: LoadedChunk[] = [];
  #waitingBytes = 0;
  #batchBytes = FIRST_BATCH_BYTES;
  /** In flight, oldest first. */
  readonly #batches: Promise<void>[] = [];
  #hasEnded = false;
  #failure: unknown;
  /** Nothing more comes: there is nothing to wait for. */
  #isFinishing = false;
  #idle: NodeJS.Immediate | undefined;

  /** Chunks offered to the engine so far. */
  numOffered = 0;
  /** Position behind the last chunk that is in; undefined while none is. */
  end: number | undefined;
  /** Leading chunks that are in. */
  numIn = 0;
  numBytes = 0;

  /** @param onRefused is shown the first chunk that the engine did not take */
  constructor(consume: ChunkConsumer, onRefused: (chunk: LoadedChunk) => void) {
    this.#consume = consume;
    this.#onRefused = onRefused;
  }

  /** @returns whether the engine takes more; waits until it does */
  async push(chunk: LoadedChunk): Promise<boolean> {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.payloadBytes;
    if (this.#isFull) this.#send();
    // What is in RAM comes all in this turn, and each call to the engine costs: see what else there is.
    else this.#idle ??= setImmediate(() => this.#sendIfIdle());
    while (this.#isFull && !this.#hasEnded) await this.#batches[0];
    return !this.#hasEnded;
  }

  /** Resolves when the engine needs none of the buffers any more. */
  async finish(): Promise<void> {
    clearImmediate(this.#idle);
    this.#isFinishing = true;
    this.#send();
    while (this.#batches.length > 0) await this.#batches[0];
    for (const chunk of this.#waiting.splice(0)) chunk.buffer[Symbol.dispose]();
    if (this.#failure !== undefined) throw this.#failure;
  }

  get #isFull(): boolean {
    return (
      this.#isFinishing ||
      this.#waiting.length >= MAX_BATCH_CHUNKS ||
      this.#waitingBytes >= this.#batchBytes
    );
  }

  #sendIfIdle(): void {
    this.#idle = undefined;
    if (this.#batches.length === 0) this.#send();
  }

  #send(): void {
    if (this.#hasEnded || this.#waiting.length === 0) return;
    if (this.#batches.length >= MAX_BATCHES_IN_FLIGHT) return;
    const batch = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#batchBytes = Math.min(this.#batchBytes * BATCH_GROWTH, MAX_BATCH_BYTES);
    this.numOffered += batch.length;
    this.#batches.push(this.#carry(batch, this.#batches.at(-1)));
  }

  async #carry(batch: readonly LoadedChunk[], before: Promise<void> | undefined): Promise<void> {
    let numIn = 0;
    try {
      numIn = await this.#consume(batch);
    } catch (error) {
      this.#failure ??= error;
    }
    await before;
    if (!this.#hasEnded) {
      for (const chunk of batch.slice(0, numIn)) chunk.buffer.markChecked();
      if (numIn < batch.length) this.#onRefused(batch[numIn]!);
    }
    for (const chunk of batch) chunk.buffer[Symbol.dispose]();
    void this.#batches.shift();
    // Behind a batch that stopped short nothing counts, whatever the engine says of it.
    if (this.#hasEnded) return;
    this.#hasEnded = numIn < batch.length;
    for (const chunk of batch.slice(0, numIn)) {
      this.end = chunk.end;
      this.numIn++;
      this.numBytes += chunk.payloadBytes;
    }
    if (this.#batches.length === 0 || this.#isFull) this.#send();
  }
}
