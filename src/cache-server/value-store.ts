import { setMaxListeners } from "node:events";
import { type ChunkKey, publish } from "../core/index.ts";
import type { TierStack, TierStatus } from "../cache/index.ts";
import type { KvBuffer, MemoryPool } from "../memory/index.ts";
import type { LmValueType } from "../protocol/index.ts";
import { type CpuTier, type Lease, isPayloadIntact } from "../tiers/index.ts";
import {
  MAX_VALUE_BYTES,
  VALUE_HEADER_BYTES,
  Value,
  keyOf,
  readValueHeader,
  sealValue,
} from "./value.ts";
import type { ValueNames } from "./value-names.ts";

export interface ValueStoreOptions {
  readonly pool: MemoryPool;
  /** The first of the tiers. */
  readonly cpuTier: CpuTier;
  readonly tiers: TierStack;
  readonly names: ValueNames;
  /** Whether a tier keeps values outside this process: they need a checksum. */
  readonly isDurable: boolean;
}

/**
 * Values of any engine, by names of its choice, in a stack of tiers: a value is a chunk of its own, labelled with its
 * name. The last value that was put under a name counts.
 */
export class ValueStore implements AsyncDisposable {
  readonly pool: MemoryPool;
  readonly #cpuTier: CpuTier;
  readonly #tiers: TierStack;
  readonly #names: ValueNames;
  readonly #isDurable: boolean;
  readonly #loads = new AbortController();

  constructor(options: ValueStoreOptions) {
    this.pool = options.pool;
    this.#cpuTier = options.cpuTier;
    this.#tiers = options.tiers;
    this.#names = options.names;
    this.#isDurable = options.isDurable;
    // Each load under way listens to it.
    setMaxListeners(0, this.#loads.signal);
  }

  /** The largest value there can be room for. */
  get maxValueBytes(): number {
    return Math.min(MAX_VALUE_BYTES, this.pool.capacityBytes - VALUE_HEADER_BYTES);
  }

  /** Memory for a value that is to be put, its payload behind VALUE_HEADER_BYTES; undefined when there is none. */
  tryAllocate(payloadBytes: number): KvBuffer | undefined {
    if (payloadBytes > this.maxValueBytes) return undefined;
    return this.pool.tryAllocate(VALUE_HEADER_BYTES + payloadBytes);
  }

  /**
   * Stores a value in place of the one that has the name.
   *
   * @param buffer what `tryAllocate` gave, with the payload; remains the caller's
   * @returns whether it is stored
   */
  async put(name: string, type: LmValueType, buffer: KvBuffer): Promise<boolean> {
    const key = keyOf(name);
    sealValue(buffer, name, type, this.#isDurable);
    if ((await this.#numLeading([key])) > 0) {
      if (await this.#isSame(key, name, buffer)) return true;
      await this.#tiers.remove([key]);
    }
    return (await this.#tiers.store([{ key, parent: undefined, buffer }])) > 0;
  }

  async get(name: string): Promise<Value | undefined> {
    const key = keyOf(name);
    using lease = await this.#acquire(key);
    for await (using buffer of lease.load(0, this.#loads.signal)) {
      const header = readValueHeader(buffer.bytes, name);
      if (header !== undefined && (buffer.isChecked || isPayloadIntact(buffer.bytes, header))) {
        buffer.markChecked();
        return new Value(buffer.retain(), header);
      }
      publish("warmkv:cache:damaged", {
        tier: this.#tiers.name,
        key,
        reason: header === undefined ? "it is no value of this name" : "the payload is damaged",
      });
      await this.#tiers.remove([key]);
    }
    return undefined;
  }

  /** How many leading names have a value. */
  numLeading(names: readonly string[]): Promise<number> {
    return this.#numLeading(names.map(keyOf));
  }

  async remove(names: readonly string[]): Promise<number> {
    let numRemoved = 0;
    for (const name of names) numRemoved += await this.#tiers.remove([keyOf(name)]);
    return numRemoved;
  }

  /**
   * Names in an order of our own, a page at a time.
   *
   * @param after the last name of the page before
   */
  list(after: string | undefined, maxNames: number): Promise<string[]> {
    return this.#names.page(after === undefined ? undefined : keyOf(after), maxNames);
  }

  statusEach(): Map<string, TierStatus> {
    return this.#tiers.statusEach();
  }

  flush(): Promise<void> {
    return this.#tiers.flush();
  }

  /** Ends the waiting for disks: nobody wants what they would bring. */
  abandonLoads(): void {
    this.#loads.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tiers[Symbol.asyncDispose]();
    this.pool[Symbol.dispose]();
  }

  /** The books of RAM are asked first: there is nothing to wait for and to guard against. */
  #numLeading(keys: readonly ChunkKey[]): Promise<number> {
    const isInRam = keys.every((key) => this.#cpuTier.peek(key) !== undefined);
    return isInRam || !this.#isDurable ? this.#cpuTier.lookup(keys) : this.#tiers.lookup(keys);
  }

  #acquire(key: ChunkKey): Promise<Lease> {
    const tier = this.#cpuTier.peek(key) === undefined ? this.#tiers : this.#cpuTier;
    return tier.acquire([key]);
  }

  /** Whether what is stored is what came again: most clients that put a name twice put the same. */
  async #isSame(key: ChunkKey, name: string, buffer: KvBuffer): Promise<boolean> {
    using lease = await this.#acquire(key);
    for await (using stored of lease.load(0, this.#loads.signal)) {
      return (
        readValueHeader(stored.bytes, name) !== undefined &&
        Buffer.compare(stored.bytes, buffer.bytes) === 0
      );
    }
    return false;
  }
}
