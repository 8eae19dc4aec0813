import { type Clock, messageOf } from "../../core/index.ts";
import { ConnectionError } from "../../protocol/index.ts";
import type { RedisNode } from "./redis-url.ts";

/** Which server has which slot. */
export interface Topology extends Disposable {
  /** As far as is known. Rejects with a ConnectionError when nothing is, or with the signal's reason. */
  slotMap(signal: AbortSignal): Promise<SlotMap>;
  /** The same, asked for anew. */
  freshSlotMap(signal: AbortSignal): Promise<SlotMap>;
  /** A server did not answer, or not as the one that has the slot: finds out who has. Never rejects. */
  refresh(): Promise<void>;
}

export type SlotMap = (slot: number) => RedisNode | undefined;

export class SingleTopology implements Topology {
  readonly #node: RedisNode;

  constructor(node: RedisNode) {
    this.#node = node;
  }

  slotMap(): Promise<SlotMap> {
    return Promise.resolve(() => this.#node);
  }
  freshSlotMap(): Promise<SlotMap> {
    return this.slotMap();
  }
  refresh(): Promise<void> {
    return Promise.resolve();
  }
  [Symbol.dispose](): void {}
}

/** After this time a map is looked at again beside the calls that use it: masters also change while both live. */
const MAX_AGE_MS = 30_000;

/** Remembers what sentinels or a cluster answered; one question at a time. */
export class AskedTopology implements Topology {
  readonly #ask: (signal: AbortSignal) => Promise<SlotMap>;
  readonly #clock: Clock;
  readonly #ending = new AbortController();
  #map: SlotMap | undefined;
  #askedAtMs = -Infinity;
  #failure: ConnectionError | undefined;
  #refreshing: Promise<void> | undefined;

  /** @param ask rejects with a ConnectionError; ends by itself */
  constructor(ask: (signal: AbortSignal) => Promise<SlotMap>, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  async slotMap(signal: AbortSignal): Promise<SlotMap> {
    if (this.#map === undefined) return this.freshSlotMap(signal);
    if (this.#clock.nowMs() - this.#askedAtMs > MAX_AGE_MS) void this.refresh();
    return this.#map;
  }

  async freshSlotMap(signal: AbortSignal): Promise<SlotMap> {
    await untilAborted(this.refresh(), signal);
    if (this.#map) return this.#map;
    throw this.#failure!;
  }

  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  [Symbol.dispose](): void {
    this.#ending.abort(new ConnectionError("closed", "The connections were closed"));
  }

  async #refresh(): Promise<void> {
    try {
      this.#map = await this.#ask(this.#ending.signal);
      this.#failure = undefined;
    } catch (error) {
      this.#failure =
        error instanceof ConnectionError
          ? error
          : new ConnectionError("unavailable", messageOf(error), { cause: error });
    }
    this.#askedAtMs = this.#clock.nowMs();
  }
}

/** The promise's value, or the signal's reason when that comes first. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
