import { type ChunkKey, TierError, isDoneWithin } from "../../core/index.ts";
import type { KvBuffer } from "../../memory/index.ts";
import type { Chunk, Lease, Tier, TierStats } from "../tier.ts";
import { forEachConcurrently } from "./concurrency.ts";
import { DiskLease } from "./disk-lease.ts";
import { type DiskTierOptions, type DiskTierParts, assembleDiskTier } from "./disk-tier-parts.ts";

const NAME = "LocalDiskBackend";
/** Chunks that another process may have written are asked for in groups of this size. */
const PROBE_GROUP = 16;
/** A disk that hangs is no disk: to look for a file takes well under a millisecond, */
const PROBE_TIMEOUT_MS = 1_000;
/** and it does not keep the process from ending. */
const CLOSE_TIMEOUT_MS = 30_000;

/**
 * Chunks in files, one each, named by their keys. Written behind the request, read straight into the
 * pool; found again after a restart, without an index on disk, from the first lookup on.
 *
 * A chunk counts as durable when its file has its name: it survives this process, killed or not. A
 * power cut may take what the system had not written back; the chunk's checksums then make it a miss.
 *
 * Several processes may share a directory, to read and to write. Files are only ever seen whole, and
 * one that another process wrote is found by the next lookup. The bound is the directory's: each process
 * counts and evicts all files it knows of, whoever wrote them, and lists the directory again when it has
 * written a twentieth of the bound (at most a few times a second). In between it does not know of what
 * the others write, so `n` busy processes may together be over the bound by a little, and never take
 * more than `n` times as much. Leases bind their own process only: a chunk that another one evicts is a
 * short load; one whose file it writes over in the very moment of the read fails its checksum in the
 * engine, which is a miss too.
 *
 * A disk that fails is a miss, a metric and a pause (see Outage). Nothing here rejects but a closed tier.
 */
export class DiskTier implements Tier {
  readonly name: string = NAME;
  readonly #parts: DiskTierParts;
  #closing: Promise<void> | undefined;

  /**
   * @throws TierError "unavailable" if a path cannot be made a directory
   * @throws UsageError for sizes and counts that are not positive
   */
  static async open(options: DiskTierOptions): Promise<DiskTier> {
    const parts = await assembleDiskTier(NAME, options);
    parts.scanner.start();
    return new DiskTier(parts);
  }

  private constructor(parts: DiskTierParts) {
    this.#parts = parts;
  }

  /** Resolves when all files of earlier runs are in the books. Lookups find them before that. */
  get adopted(): Promise<void> {
    return this.#parts.scanner.adopted;
  }

  get isUp(): boolean {
    return !this.#parts.outage.isSuspect;
  }

  async lookup(keys: readonly ChunkKey[]): Promise<number> {
    this.#begin();
    let num = 0;
    await this.#forEachKnown(keys, () => num++);
    return num;
  }

  async acquire(keys: readonly ChunkKey[]): Promise<Lease> {
    this.#begin();
    const { space, counters, numIoThreads, reader, recency, writer } = this.#parts;
    const held: ChunkKey[] = [];
    const buffers = new Map<ChunkKey, KvBuffer>();
    await this.#forEachKnown(keys, (key) => {
      held.push(key);
      space.hold(key);
      const write = writer.get(key);
      if (write !== undefined) buffers.set(key, write.buffer.retain());
    });
    space.touch(held);
    recency.used(held);
    counters.acquired(held.length, keys.length);
    return new DiskLease({
      keys: held,
      buffers,
      // More would only spread the bytes over more of the pool, which costs a third of the speed.
      numReadAhead: numIoThreads,
      startRead: (key, consumer, done) => {
        // Once the tier is closed the pool may go.
        if (this.#closing === undefined) return reader.start(key, consumer, done);
        done(undefined);
        return true;
      },
      onDispose: () => held.forEach((key) => space.unhold(key)),
    });
  }

  async store(chunks: readonly Chunk[]): Promise<number> {
    this.#begin();
    const { counters, writer } = this.#parts;
    const family = new Set(chunks.flatMap(({ key, parent }) => (parent ? [key, parent] : [key])));
    let numStored = 0;
    for (const chunk of chunks) {
      if (!this.#isKnown(chunk.key) && !writer.accept(chunk, family)) break;
      numStored++;
    }
    counters.refused(chunks.length - numStored);
    return numStored;
  }

  async remove(keys: readonly ChunkKey[]): Promise<number> {
    this.#begin();
    return await this.#removeAll(keys);
  }

  async clear(): Promise<number> {
    this.#begin();
    const { scanner, space, writer } = this.#parts;
    // What other processes wrote goes too.
    await scanner.refresh();
    const keys = [...writer.pendingKeys(), ...space.keys()];
    return await this.#removeAll(keys.filter((key) => !space.isHeld(key)));
  }

  async flush(): Promise<void> {
    await this.#parts.writer.flush();
  }

  stats(): TierStats {
    const { counters, space, writer } = this.#parts;
    return {
      numChunks: space.numChunks + writer.numPending,
      usedBytes: space.usedBytes,
      capacityBytes: space.capacityBytes,
      ...counters.counts(),
    };
  }

  /** Writes what was accepted, then closes. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { executor, scanner, writer } = this.#parts;
    const ending = writer
      .flush()
      .then(() => scanner.close())
      .then(() => executor.idle());
    await isDoneWithin(CLOSE_TIMEOUT_MS, ending);
  }

  #begin(): void {
    if (this.#closing !== undefined) throw new TierError(NAME, "closed", "The tier is closed");
    const { outage, scanner } = this.#parts;
    if (outage.isSuspect) scanner.request();
  }

  #isKnown(key: ChunkKey): boolean {
    const { outage, space, writer } = this.#parts;
    return writer.get(key) !== undefined || (space.has(key) && !outage.isActive);
  }

  /** Visits the leading keys that are stored. What another process wrote is taken into the books first. */
  async #forEachKnown(keys: readonly ChunkKey[], visit: (key: ChunkKey) => void): Promise<void> {
    let groupSize = 1;
    for (let num = 0; num < keys.length; num++) {
      if (!this.#isKnown(keys[num]!)) {
        if (this.#parts.outage.isActive) return;
        await this.#adopt(keys.slice(num, num + groupSize));
        if (!this.#isKnown(keys[num]!)) return;
        groupSize = PROBE_GROUP;
      }
      visit(keys[num]!);
    }
  }

  async #adopt(keys: readonly ChunkKey[]): Promise<void> {
    const { outage, scanner } = this.#parts;
    const unknown = keys.filter((key) => !this.#isKnown(key));
    const adopting = Promise.all(unknown.map((key) => scanner.adopt(key)));
    if (!(await isDoneWithin(PROBE_TIMEOUT_MS, adopting))) {
      outage.report(new Error(`No answer within ${PROBE_TIMEOUT_MS} ms`), "timeout");
    }
  }

  async #removeAll(keys: readonly ChunkKey[]): Promise<number> {
    const { executor, numIoThreads, remover, writer } = this.#parts;
    let numRemoved = 0;
    await forEachConcurrently(keys, numIoThreads, async (key) => {
      const cancelled = writer.cancel(key);
      await cancelled;
      const isRemoved = await executor.run("remove", () => remover.remove(key));
      if (isRemoved || cancelled !== undefined) numRemoved++;
    });
    return numRemoved;
  }
}
