import type { AddressInfo, Server, Socket } from "node:net";
import {
  ClaimTable,
  type Clock,
  type Logger,
  UsageError,
  silentLogger,
  systemClock,
} from "../core/index.ts";
import { Connection } from "../protocol/index.ts";
import type { AdminServer } from "./admin-server.ts";
import { Frames } from "./frames.ts";
import { Intake } from "./intake.ts";
import { type ListenOptions, type ServerTls, addressOf, listen } from "./listener.ts";
import { type StorageOptions, openValueStore } from "./open-value-store.ts";
import { Requests } from "./requests.ts";
import type { CacheServerStats } from "./server-stats.ts";
import { Session } from "./session.ts";
import { Traffic } from "./traffic.ts";
import type { ValueStore } from "./value-store.ts";

export interface CacheServerOptions extends StorageOptions {
  /** Default: this machine only. */
  readonly host?: string | undefined;
  /** Default 65432, as LMCache's documents have it; 0: one that is free. */
  readonly port?: number | undefined;
  /** Of the admin endpoints; without it there are none. */
  readonly httpPort?: number | undefined;
  /** Default: this machine only. */
  readonly httpHost?: string | undefined;
  /** What clients must know. LMCache's own client knows no tokens. */
  readonly authToken?: string | undefined;
  readonly tls?: ServerTls | undefined;
  readonly maxConnections?: number | undefined;
  /** How long a client may stop in the middle of a frame, beside the time that its bytes take at 1 MB/s. */
  readonly stallTimeoutMs?: number | undefined;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
}

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 65_432;
const DEFAULT_MAX_CONNECTIONS = 1024;
const DEFAULT_STALL_TIMEOUT_MS = 30_000;
/** Of the pool: what is being received leaves room for what is being sent and written to disk. */
const MAX_INCOMING_SHARE = 1 / 2;
/** A value that comes while too many others come in waits this long for its turn. */
const MAX_INTAKE_WAIT_MS = 10_000;
/** 16,384 prompts of a thousand tokens; some 20 MB if all names are as long as may be. */
const MAX_CLAIMS = 65_536;
const SWEEP_INTERVAL_MS = 1000;
/** A sweep that comes later than this was not held up by work. */
const MAX_SWEEP_PAUSE_MS = 10_000;

/** LMCache's `lm://` protocol in front of tiers: a cache that many engines share. */
export class CacheServer implements AsyncDisposable {
  readonly #store: ValueStore;
  readonly #intake: Intake;
  readonly #traffic = new Traffic();
  readonly #claims: ClaimTable;
  readonly #sessions = new Set<Session>();
  /** Sockets below TLS, which may never become sessions. */
  readonly #rawSockets = new Set<Socket>();
  readonly #options: CacheServerOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #startedMs: number;
  readonly #sweep: NodeJS.Timeout;
  #sweptMs: number;
  #listener: Server | undefined;
  #admin: AdminServer | undefined;
  #closing: Promise<void> | undefined;

  /** See `openCacheServer`. */
  static async open(options: CacheServerOptions): Promise<CacheServer> {
    if (options.authToken === "") {
      throw new UsageError("Cannot use an empty auth token: wanted a secret", {
        param: "--auth-token",
      });
    }
    const { logger = silentLogger, clock = systemClock } = options;
    const server = new CacheServer(options, await openValueStore(options, logger, clock));
    try {
      await server.#listen();
    } catch (error) {
      await server.close(0);
      throw error;
    }
    return server;
  }

  private constructor(options: CacheServerOptions, store: ValueStore) {
    this.#options = options;
    this.#store = store;
    this.#logger = options.logger ?? silentLogger;
    this.#clock = options.clock ?? systemClock;
    this.#claims = new ClaimTable(this.#clock, MAX_CLAIMS);
    this.#startedMs = this.#clock.nowMs();
    this.#intake = new Intake(store.pool.capacityBytes * MAX_INCOMING_SHARE, MAX_INTAKE_WAIT_MS);
    this.#sweptMs = this.#startedMs;
    const sweepMs = Math.min(SWEEP_INTERVAL_MS, this.#stallTimeoutMs);
    this.#sweep = setInterval(() => this.#cutStalled(), sweepMs).unref();
  }

  get port(): number {
    return (this.#listener!.address() as AddressInfo).port;
  }
  /** Where clients reach it: "lm://127.0.0.1:65432". */
  get url(): string {
    return `lm://${addressOf(this.#listener!)}`;
  }
  /** Where the admin endpoints are. */
  get httpUrl(): string | undefined {
    return this.#admin?.url;
  }
  /** Whether it takes connections. */
  get isReady(): boolean {
    return this.#listener !== undefined && this.#closing === undefined;
  }

  stats(): CacheServerStats {
    const { pool } = this.#store;
    const { numConnections, ...traffic } = this.#traffic;
    return {
      ...traffic,
      uptimeMs: this.#clock.nowMs() - this.#startedMs,
      numConnections: this.#sessions.size,
      numConnectionsAccepted: numConnections,
      pool: {
        capacityBytes: pool.capacityBytes,
        usedBytes: pool.usedBytes,
        peakUsedBytes: pool.peakUsedBytes,
        incomingBytes: this.#intake.usedBytes,
      },
      tiers: Object.fromEntries(this.#store.statusEach()),
    };
  }

  /** Resolves when everything put so far is on disk, or will not come to be there. */
  flush(): Promise<void> {
    return this.#store.flush();
  }

  /**
   * Stops accepting, lets frames under way end for `graceMs`, then cuts them; writes what is to be on disk. A later
   * call with less patience wins.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close();
    const timer = setTimeout(() => {
      this.#store.abandonLoads();
      for (const session of this.#sessions) session.cut();
    }, graceMs);
    await this.#closing;
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0);
  }

  get #stallTimeoutMs(): number {
    return this.#options.stallTimeoutMs ?? DEFAULT_STALL_TIMEOUT_MS;
  }

  async #listen(): Promise<void> {
    const { host = DEFAULT_HOST, port = DEFAULT_PORT, tls, httpPort } = this.#options;
    const maxConnections = this.#options.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
    const where: ListenOptions = { host, port, tls, maxConnections };
    this.#listener = await listen(where, (socket) => this.#serve(socket));
    if (tls !== undefined) this.#listener.on("connection", (raw: Socket) => this.#watch(raw));
    if (httpPort === undefined) return;
    const httpHost = this.#options.httpHost ?? DEFAULT_HOST;
    // Loaded when it is wanted: HTTP and metrics take megabytes beside the pool.
    const [admin, { createAdminApp }] = await Promise.all([
      import("./admin-server.ts"),
      import("./admin-app.ts"),
    ]);
    this.#admin = await admin.AdminServer.listen(createAdminApp(this), httpHost, httpPort);
  }

  #serve(socket: Socket): void {
    if (this.#closing !== undefined) {
      socket.destroy();
      return;
    }
    const { tls, authToken: token } = this.#options;
    const traffic = this.#traffic;
    traffic.numConnections++;
    const connection = Connection.accept(socket, 0);
    const session = new Session({
      connection,
      frames: new Frames(connection, {
        isEncrypted: tls !== undefined,
        stallTimeoutMs: this.#stallTimeoutMs,
        clock: this.#clock,
      }),
      requests: new Requests({
        store: this.#store,
        intake: this.#intake,
        traffic,
        claims: this.#claims,
      }),
      traffic,
      logger: this.#logger,
      token,
      startedMs: this.#clock.nowMs(),
    });
    this.#sessions.add(session);
    void session.ended.then(() => this.#sessions.delete(session));
  }

  #watch(raw: Socket): void {
    this.#rawSockets.add(raw);
    raw.once("close", () => this.#rawSockets.delete(raw));
  }

  #cutStalled(): void {
    const nowMs = this.#clock.nowMs();
    const standstillMs = nowMs - this.#sweptMs;
    this.#sweptMs = nowMs;
    // A machine that was suspended is no fault of the clients'.
    if (standstillMs > MAX_SWEEP_PAUSE_MS) {
      for (const session of this.#sessions) session.postpone(standstillMs);
    }
    const latestMs = nowMs - this.#stallTimeoutMs;
    for (const session of this.#sessions) {
      if (session.isStalled) session.cut("stalled");
      else if (!session.isTrusted && session.startedMs < latestMs) session.cut("unauthorized");
    }
  }

  async #close(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      if (this.#listener === undefined) resolve();
      else this.#listener.close(() => resolve());
    });
    this.#intake.close();
    for (const session of this.#sessions) session.end();
    // The pool goes last: until then somebody may be reading into it.
    await Promise.all([...this.#sessions].map((session) => session.ended));
    clearInterval(this.#sweep);
    for (const raw of this.#rawSockets) raw.destroy();
    await stopped;
    await this.#store.flush();
    await this.#store[Symbol.asyncDispose]();
    await this.#admin?.[Symbol.asyncDispose]();
  }
}

/**
 * Opens a cache server: it listens when this resolves.
 *
 * @throws UsageError for addresses, sizes and certificates that cannot be used
 * @throws TierError when a directory cannot be used
 */
export function openCacheServer(options: CacheServerOptions): Promise<CacheServer> {
  return CacheServer.open(options);
}
