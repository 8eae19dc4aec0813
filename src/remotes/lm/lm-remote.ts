import { TierError, isDoneWithin, silentLogger } from "../../core/index.ts";
import { ConnectionError } from "../../protocol/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteCall, RemoteClaim, RemoteStore } from "../remote-store.ts";
import type { LmConnection } from "./lm-connection.ts";
import { LmServer } from "./lm-server.ts";
import { parseLmUrl } from "./lm-url.ts";
import { Rendezvous } from "./rendezvous.ts";

/** The longest wait for the answer of one server of several, or for a connection to it; then it counts as away. */
const PATIENCE_MS = 500;
/** Of a lookup, the wait for its turn too: its server may be busy, and is then not away. */
const LOOKUP_TIMEOUT_MS = 1_000;

/**
 * `lm://host:port[,host:port...]`: cache servers, LMCache's or ours, each holding its share of the values. A server that
 * is away costs its share: what it holds counts as missing while another one answers, and no call waits for it.
 *
 * @throws UsageError for an address that cannot be
 */
export function openLmRemote(url: string, options: RemoteOptions): RemoteStore {
  const parsed = parseLmUrl(url);
  // Who owns the store tells when all of it is away.
  const logger = parsed.hosts.length > 1 ? options.logger : silentLogger;
  const connectTimeoutMs = parsed.hosts.length > 1 ? PATIENCE_MS : undefined;
  const servers = parsed.hosts.map(
    (host) => new LmServer(host, parsed, { ...options, logger, connectTimeoutMs }),
  );
  return new LmRemote(parsed.address, servers);
}

class LmRemote implements RemoteStore {
  readonly address: string;
  readonly #servers: readonly LmServer[];
  readonly #rendezvous: Rendezvous;
  #isClosed = false;

  constructor(address: string, servers: readonly LmServer[]) {
    this.address = address;
    this.#servers = servers;
    this.#rendezvous = new Rendezvous(servers.map(({ name }) => name));
  }

  async lookup(names: readonly string[], call: RemoteCall): Promise<number> {
    this.#assertUsable(call);
    if (names.length === 0) return 0;
    const limited = this.#isAlone ? call : withTimeout(call, LOOKUP_TIMEOUT_MS);
    // Also of those that none of these names is of: when all are away, the first that is back is to be noticed.
    if (!this.#isAlone) for (const server of this.#servers) server.tryAgain();
    const gaps = await Promise.all(
      Array.from(this.#sharesOf(names), async ([server, places]) => {
        const asked = places.map((place) => names[place]!);
        const numFound = await this.#ask(server, limited, 0, (to) =>
          this.#isAlone ? to.lookup(asked) : within(PATIENCE_MS, to.lookup(asked)),
        );
        return places[numFound] ?? names.length;
      }),
    );
    return Math.min(...gaps);
  }

  async get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    call: RemoteCall,
  ): Promise<number | undefined> {
    this.#assertUsable(call);
    return await this.#ask(this.#serverOf(name), call, undefined, (to) => to.get(name, allocate));
  }

  async put(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean> {
    this.#assertUsable(call);
    return await this.#ask(this.#serverOf(name), call, false, (to) => to.put(name, value));
  }

  async remove(names: readonly string[], call: RemoteCall): Promise<number> {
    this.#assertUsable(call);
    const counts = await Promise.all(
      Array.from(this.#sharesOf(names), ([server, places]) => {
        const removed = places.map((place) => names[place]!);
        return this.#ask(server, call, 0, (to) => to.remove(removed));
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** What a server that is away or knows no claims would have noted counts as claimed: nobody is waited for. */
  async claim(
    names: readonly string[],
    claim: RemoteClaim,
    call: RemoteCall,
  ): Promise<number | undefined> {
    this.#assertUsable(call);
    let isNoted = false;
    const ends = await Promise.all(
      Array.from(this.#sharesOf(names), async ([server, places]) => {
        const claimed = places.map((place) => names[place]!);
        const numOwn = await this.#ask(server, call, undefined, (to) => to.claim(claimed, claim));
        if (numOwn === undefined) return names.length;
        isNoted = true;
        return places[numOwn] ?? names.length;
      }),
    );
    return isNoted ? Math.min(...ends) : undefined;
  }

  async release(names: readonly string[], owner: string, call: RemoteCall): Promise<void> {
    this.#assertUsable(call);
    await Promise.all(
      Array.from(this.#sharesOf(names), ([server, places]) => {
        const released = places.map((place) => names[place]!);
        return this.#ask(server, call, undefined, (to) => to.release(released, owner));
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#servers.map((server) => server[Symbol.asyncDispose]()));
  }

  /** One server away is a miss; all of them away is a failure. */
  async #ask<T>(
    server: LmServer,
    call: RemoteCall,
    missing: T,
    exchange: (connection: LmConnection) => Promise<T>,
  ): Promise<T> {
    try {
      if (!this.#isAlone && server.failure !== undefined) {
        server.tryAgain();
        throw server.failure;
      }
      return await server.exchange(call, exchange);
    } catch (error) {
      if (error === tookTooLong) return missing;
      if (!(error instanceof ConnectionError)) throw error;
      const code = this.#isClosed ? "closed" : error.code;
      if (this.#isClosed || this.#servers.every(({ failure }) => failure !== undefined)) {
        const sentence = `${server.name}: ${error.message}`;
        throw new TierError(this.address, code, sentence, { cause: error });
      }
      return missing;
    }
  }

  get #isAlone(): boolean {
    return this.#servers.length === 1;
  }

  /** Each server's share of the names, by their places. */
  #sharesOf(names: readonly string[]): Map<LmServer, number[]> {
    const shares = new Map<LmServer, number[]>();
    names.forEach((name, place) => {
      const server = this.#serverOf(name);
      const places = shares.get(server);
      if (places) places.push(place);
      else shares.set(server, [place]);
    });
    return shares;
  }

  #serverOf(name: string): LmServer {
    return this.#servers[this.#rendezvous.serverOf(name)]!;
  }

  #assertUsable({ signal }: RemoteCall): void {
    if (this.#isClosed) throw new TierError(this.address, "closed", "The store is closed");
    signal.throwIfAborted();
  }
}

/** Of a wait that was for others on the same connections. */
const tookTooLong = new Error("It was not this call's turn in time");

function withTimeout(call: RemoteCall, timeoutMs: number): RemoteCall {
  const limit = new AbortController();
  setTimeout(() => limit.abort(tookTooLong), timeoutMs).unref();
  return { ...call, signal: AbortSignal.any([call.signal, limit.signal]) };
}

/** Rejects when the answer does not come in time, which ends its connection. */
async function within<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  if (await isDoneWithin(timeoutMs, answer)) return await answer;
  throw new ConnectionError("timeout", `No answer within ${timeoutMs} ms`);
}
