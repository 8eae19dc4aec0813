import { setTimeout as delay } from "node:timers/promises";
import { ClaimTable, type Clock, GiB, TierError, UsageError, systemClock } from "../core/index.ts";
import type { RemoteCall, RemoteClaim, RemoteStore } from "./remote-store.ts";

const DEFAULT_CAPACITY_GB = 1;
const GIGABYTE = 1e9;
const MAX_CLAIMS = 65_536;

/**
 * `mock://[capacity in GB]?latency_ms=&bandwidth_gbps=`: values in this process, at a chosen distance. LMCache's
 * `mock://100/?peeking_latency=1&read_throughput=2&write_throughput=2` (ms and GB/s) is understood too.
 *
 * @throws UsageError for parameters that cannot be
 */
export function openMockRemote(url: string, clock: Clock = systemClock): MockRemote {
  return new MockRemote(parseMockUrl(url), clock);
}

interface MockSettings {
  readonly capacityBytes: number;
  readonly latencyMs: number;
  readonly readBytesPerMs: number;
  readonly writeBytesPerMs: number;
}

export class MockRemote implements RemoteStore {
  readonly address = "mock://";
  readonly #settings: MockSettings;
  /** Oldest first. */
  readonly #values = new Map<string, Uint8Array>();
  readonly #claims: ClaimTable;
  #usedBytes = 0;
  #isClosed = false;

  constructor(settings: MockSettings, clock: Clock) {
    this.#settings = settings;
    this.#claims = new ClaimTable(clock, MAX_CLAIMS);
  }

  async lookup(names: readonly string[], { signal }: RemoteCall): Promise<number> {
    await this.#travel(0, Infinity, signal);
    const gap = names.findIndex((name) => !this.#values.has(name));
    return gap < 0 ? names.length : gap;
  }

  async get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    { signal }: RemoteCall,
  ): Promise<number | undefined> {
    const value = this.#values.get(name);
    await this.#travel(value?.byteLength ?? 0, this.#settings.readBytesPerMs, signal);
    const target = value && allocate(value.byteLength);
    if (target === undefined) return undefined;
    target.set(value!);
    return value!.byteLength;
  }

  async put(name: string, value: Uint8Array, { signal }: RemoteCall): Promise<boolean> {
    await this.#travel(value.byteLength, this.#settings.writeBytesPerMs, signal);
    if (this.#values.has(name)) return true;
    if (value.byteLength > this.#settings.capacityBytes) return false;
    this.#values.set(name, Uint8Array.from(value));
    this.#usedBytes += value.byteLength;
    while (this.#usedBytes > this.#settings.capacityBytes) {
      this.#drop(this.#values.keys().next().value!);
    }
    return true;
  }

  async remove(names: readonly string[], { signal }: RemoteCall): Promise<number> {
    await this.#travel(0, Infinity, signal);
    return names.filter((name) => this.#drop(name)).length;
  }

  async claim(
    names: readonly string[],
    { owner, ttlMs }: RemoteClaim,
    { signal }: RemoteCall,
  ): Promise<number> {
    await this.#travel(0, Infinity, signal);
    return this.#claims.claim(names, owner, ttlMs);
  }

  async release(names: readonly string[], owner: string, { signal }: RemoteCall): Promise<void> {
    await this.#travel(0, Infinity, signal);
    this.#claims.release(names, owner);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#values.clear();
  }

  #drop(name: string): boolean {
    this.#usedBytes -= this.#values.get(name)?.byteLength ?? 0;
    return this.#values.delete(name);
  }

  async #travel(numBytes: number, bytesPerMs: number, signal: AbortSignal): Promise<void> {
    if (this.#isClosed) throw new TierError(this.address, "closed", "The store is closed");
    signal.throwIfAborted();
    const durationMs = this.#settings.latencyMs + numBytes / bytesPerMs;
    if (durationMs > 0) await delay(durationMs, undefined, { signal, ref: false });
  }
}

function parseMockUrl(url: string): MockSettings {
  const parsed = /^mock:\/\/([^/?#]*)\/?(?:\?([^#]*))?$/i.exec(url);
  if (parsed === null) throw wrong(url, "nothing but a capacity in GB and parameters");
  const parameters = new URLSearchParams(parsed[2]);
  const read = (names: readonly string[], fallback: number): number => {
    const text = names.map((name) => parameters.get(name)).find((value) => value !== null);
    const value = text === undefined || text === null ? fallback : Number(text);
    if (text === "" || !(value >= 0)) throw wrong(url, `a number as ${names[0]}`);
    return value;
  };
  const capacityGb = parsed[1] === "" ? DEFAULT_CAPACITY_GB : Number(parsed[1]);
  if (!(capacityGb > 0)) throw wrong(url, "a capacity in GB above 0");
  const latencyMs = read(["latency_ms", "peeking_latency"], 0);
  // Bits per second in the one, bytes in the other.
  const bandwidth = read(["bandwidth_gbps"], Infinity) / 8;
  const bytesPerMs = (name: string): number => {
    const gigabytesPerSecond = read([name], bandwidth);
    if (gigabytesPerSecond === 0) throw wrong(url, `${name} above 0`);
    return (gigabytesPerSecond * GIGABYTE) / 1000;
  };
  return {
    capacityBytes: capacityGb * GiB,
    latencyMs,
    readBytesPerMs: bytesPerMs("read_throughput"),
    writeBytesPerMs: bytesPerMs("write_throughput"),
  };
}

function wrong(url: string, wanted: string): UsageError {
  return new UsageError(
    `Cannot use "${url}": wanted ${wanted}, such as mock://10?latency_ms=1&bandwidth_gbps=10`,
    { param: "remote_url" },
  );
}
