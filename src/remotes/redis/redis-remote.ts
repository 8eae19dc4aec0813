import { TierError } from "../../core/index.ts";
import { ConnectionError, ConnectionPool, RespError } from "../../protocol/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteCall, RemoteClaim, RemoteStore } from "../remote-store.ts";
import { claimValues, releaseValues } from "./claims.ts";
import { type NameAnswer, existValues, getValue, putValue, removeValues } from "./exchanges.ts";
import { hashSlot } from "./hash-slot.ts";
import { headKey } from "./layout.ts";
import { RedisSession, type RedisSessionOptions, connectionError } from "./redis-session.ts";
import { type RedisNode, nodeName } from "./redis-url.ts";
import type { SlotMap, Topology } from "./topology.ts";

export interface RedisRemoteParts {
  readonly address: string;
  readonly topology: Topology;
  /** The servers tell where a slot is; else an answer of that kind is a mistake in the URL. */
  readonly isCluster: boolean;
  readonly session: RedisSessionOptions;
  readonly ttlSeconds: number | undefined;
  readonly options: RemoteOptions;
}

/** Names per pipeline. */
const MAX_NAMES = 1024;
/** A slot that is elsewhere again after so many hops is nowhere. */
const MAX_HOPS = 5;
/** Not here, but elsewhere. */
const REDIRECTIONS = ["MOVED", "ASK", "READONLY"];
const MAX_SERVERS = 1024;
const MAX_WAITING = 1024;
const IDLE_MS = 60_000;

type Exchange<T> = (session: RedisSession) => Promise<T>;

/** Values in Redis or Valkey, as layout.ts lays them out: one server, a master behind sentinels, or a cluster. */
export class RedisRemote implements RemoteStore {
  readonly address: string;
  readonly #parts: RedisRemoteParts;
  readonly #topology: Topology;
  readonly #pools = new Map<string, ConnectionPool<RedisSession>>();
  #isClosed = false;

  constructor(parts: RedisRemoteParts) {
    this.address = parts.address;
    this.#parts = parts;
    this.#topology = parts.topology;
  }

  lookup(names: readonly string[], call: RemoteCall): Promise<number> {
    return this.#guard(call, async () => {
      for (let start = 0; start < names.length; start += MAX_NAMES) {
        const batch = names.slice(start, start + MAX_NAMES);
        const firstMissing = (await this.#askAll(batch, call, existValues)).indexOf(false);
        if (firstMissing !== -1) return start + firstMissing;
      }
      return names.length;
    });
  }

  get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    call: RemoteCall,
  ): Promise<number | undefined> {
    return this.#guard(call, () =>
      this.#ask(name, call, (session) => getValue(session, name, allocate)),
    );
  }

  put(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean> {
    return this.#guard(call, () =>
      this.#ask(name, call, (session) => putValue(session, name, value, this.#parts.ttlSeconds)),
    );
  }

  remove(names: readonly string[], call: RemoteCall): Promise<number> {
    return this.#guard(call, async () => {
      let numRemoved = 0;
      for (let start = 0; start < names.length; start += MAX_NAMES) {
        const batch = names.slice(start, start + MAX_NAMES);
        const answers = await this.#askAll(batch, call, removeValues);
        numRemoved += answers.filter(Boolean).length;
      }
      return numRemoved;
    });
  }

  claim(names: readonly string[], claim: RemoteClaim, call: RemoteCall): Promise<number> {
    return this.#guard(call, async () => {
      const answers = await this.#askAll(names, call, (session, asked) =>
        claimValues(session, asked, claim),
      );
      const firstOfOthers = answers.indexOf(false);
      return firstOfOthers === -1 ? names.length : firstOfOthers;
    });
  }

  release(names: readonly string[], owner: string, call: RemoteCall): Promise<void> {
    return this.#guard(call, async () => {
      await this.#askAll(names, call, (session, asked) => releaseValues(session, asked, owner));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#topology[Symbol.dispose]();
    await Promise.all([...this.#pools.values()].map((pool) => pool[Symbol.asyncDispose]()));
  }

  /** Whatever fails in `work` becomes a TierError, or the signal's reason, and makes us look who is where. */
  async #guard<T>({ signal }: RemoteCall, work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new TierError(this.address, "closed", "The store is closed");
    try {
      return await work();
    } catch (error) {
      const failure = error instanceof RespError ? connectionError(error) : error;
      const isLost =
        failure instanceof ConnectionError &&
        (failure.code === "unavailable" || failure.code === "timeout");
      if (isLost || signal.aborted) void this.#topology.refresh();
      if (!(failure instanceof ConnectionError)) throw failure;
      throw new TierError(this.address, failure.code, failure.message, { cause: failure });
    }
  }

  /** One pipeline for each server, all at once. */
  async #askAll(
    names: readonly string[],
    call: RemoteCall,
    exchange: (session: RedisSession, names: readonly string[]) => Promise<NameAnswer[]>,
  ): Promise<boolean[]> {
    const map = await this.#topology.slotMap(call.signal);
    const groups = new Map<string, { node: RedisNode; indexes: number[] }>();
    for (const [index, name] of names.entries()) {
      const node = serverOf(map, name);
      const group = groups.get(nodeName(node)) ?? { node, indexes: [] };
      group.indexes.push(index);
      groups.set(nodeName(node), group);
    }
    const answers: boolean[] = [];
    await Promise.all(
      [...groups.values()].map(async ({ node, indexes }) => {
        const asked = indexes.map((index) => names[index]!);
        const given = await this.#on(node, false, call, (session) => exchange(session, asked));
        for (const [order, index] of indexes.entries()) {
          answers[index] = await this.#settle(given[order]!, asked[order]!, call, exchange);
        }
      }),
    );
    return answers;
  }

  /** Asks again, elsewhere, for a name that is not where it was looked for. */
  async #settle(
    answer: NameAnswer,
    name: string,
    call: RemoteCall,
    exchange: (session: RedisSession, names: readonly string[]) => Promise<NameAnswer[]>,
  ): Promise<boolean> {
    if (!(answer instanceof RespError)) return answer;
    if (!REDIRECTIONS.includes(answer.code)) throw answer;
    return this.#ask(name, call, async (session) => {
      const [settled] = await exchange(session, [name]);
      if (settled instanceof RespError) throw settled;
      return settled!;
    });
  }

  /** Asks the server that has the name, wherever it turns out to be. */
  async #ask<T>(name: string, call: RemoteCall, exchange: Exchange<T>): Promise<T> {
    let node = serverOf(await this.#topology.slotMap(call.signal), name);
    let isAsking = false;
    for (let numHops = 0; ; numHops++) {
      try {
        return await this.#on(node, isAsking, call, exchange);
      } catch (error) {
        if (!(error instanceof RespError) || numHops === MAX_HOPS) throw error;
        const next = await this.#nextServer(error, node, name, call);
        isAsking = error.code === "ASK";
        node = next;
      }
    }
  }

  /** @throws the error when it names no other server */
  async #nextServer(
    error: RespError,
    node: RedisNode,
    name: string,
    { signal }: RemoteCall,
  ): Promise<RedisNode> {
    if (error.code === "READONLY") {
      // Since we asked, another has become the master.
      const master = serverOf(await this.#topology.freshSlotMap(signal), name);
      if (nodeName(master) !== nodeName(node)) return master;
    }
    const target = /^(?:MOVED|ASK) \d+ (.*):(\d+)$/.exec(error.message);
    if (!target) throw error;
    if (!this.#parts.isCluster) {
      const message = 'The server is one of a cluster: wanted a URL with "redis-cluster://"';
      throw new ConnectionError("protocol", message);
    }
    if (error.code === "MOVED") void this.#topology.refresh();
    // Without a host: another port of the same one.
    return { ...node, ...(target[1] === "" ? {} : { host: target[1]! }), port: Number(target[2]) };
  }

  #on<T>(
    node: RedisNode,
    isAsking: boolean,
    { priority, signal }: RemoteCall,
    exchange: Exchange<T>,
  ): Promise<T> {
    return this.#pool(node).use(priority, signal, (session) => {
      session.isAsking = isAsking;
      return exchange(session);
    });
  }

  #pool(node: RedisNode): ConnectionPool<RedisSession> {
    const held = this.#pools.get(nodeName(node));
    if (held) return held;
    const { maxConnections, clock, random } = this.#parts.options;
    const pool = new ConnectionPool({
      connect: (signal) => RedisSession.open(node, this.#parts.session, signal),
      maxConnections,
      maxWaiting: MAX_WAITING,
      idleMs: IDLE_MS,
      clock,
      random,
    });
    this.#pools.set(nodeName(node), pool);
    if (this.#pools.size > MAX_SERVERS) this.#dropOldestPool();
    return pool;
  }

  #dropOldestPool(): void {
    const [name, pool] = this.#pools.entries().next().value!;
    this.#pools.delete(name);
    void pool[Symbol.asyncDispose]();
  }
}

function serverOf(map: SlotMap, name: string): RedisNode {
  const slot = hashSlot(headKey(name));
  const node = map(slot);
  if (node) return node;
  throw new ConnectionError("unavailable", `No server of the cluster has slot ${slot}`);
}
