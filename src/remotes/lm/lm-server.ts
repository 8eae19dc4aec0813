import { Connection, ConnectionError, ConnectionPool } from "../../protocol/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteCall } from "../remote-store.ts";
import { LmConnection } from "./lm-connection.ts";
import { type LmDialect, dialectsOf } from "./lm-dialect.ts";
import { type LmHost, type LmUrl, hostName } from "./lm-url.ts";

/** Far more than one process ever asks for at a time. */
const MAX_WAITING = 4096;
/** Shorter than what firewalls forget connections after. */
const IDLE_MS = 60_000;

/** Then the server may be another one, and is asked again what it understands. */
const REMEMBER_MS = 60_000;

/** A cache server answers within milliseconds. */
const TRIAL_TIMEOUT_MS = 2_000;
const TRIAL_NAME = "trial";

export interface LmServerOptions extends RemoteOptions {
  /** The longest that it may take to connect and to greet. Default: `timeoutMs` for each step. */
  readonly connectTimeoutMs?: number | undefined;
}

/** One cache server: connections to it, and whether it was there when it was last asked. */
export class LmServer implements AsyncDisposable {
  readonly name: string;
  readonly #host: LmHost;
  readonly #url: LmUrl;
  readonly #options: LmServerOptions;
  readonly #pool: ConnectionPool<LmConnection>;
  /** What the server understood last. */
  #dialect: LmDialect | undefined;
  #forgetsAtMs = 0;
  #failure: ConnectionError | undefined;
  #isOnTrial = false;

  constructor(host: LmHost, url: LmUrl, options: LmServerOptions) {
    this.name = hostName(host);
    this.#host = host;
    this.#url = url;
    this.#options = options;
    this.#pool = new ConnectionPool({
      connect: (signal) => this.#connectInTime(signal),
      maxConnections: options.maxConnections,
      maxWaiting: MAX_WAITING,
      idleMs: IDLE_MS,
      clock: options.clock,
      random: options.random,
    });
  }

  /** Why the last exchange failed; undefined when it did not. */
  get failure(): ConnectionError | undefined {
    return this.#failure;
  }

  /** Rejects with a ConnectionError or with the signal's reason. */
  async exchange<T>(
    { priority, signal }: RemoteCall,
    exchange: (connection: LmConnection) => Promise<T>,
  ): Promise<T> {
    try {
      const answer = await this.#pool.use(priority, signal, exchange);
      if (this.#failure) this.#options.logger.info(`Cache server ${this.name} answers again`);
      this.#failure = undefined;
      return answer;
    } catch (error) {
      if (error instanceof ConnectionError) this.#noticeAway(error);
      throw error;
    }
  }

  /** Asks a server that was away whether it is there again. Nobody waits for that. */
  tryAgain(): void {
    if (this.#failure === undefined || this.#isOnTrial) return;
    this.#isOnTrial = true;
    const signal = AbortSignal.timeout(TRIAL_TIMEOUT_MS);
    void this.exchange({ priority: "lookup", signal }, (to) => to.lookup([TRIAL_NAME]))
      .catch((error: unknown) => {
        if (!(error instanceof ConnectionError) && !signal.aborted) throw error;
      })
      .finally(() => {
        this.#isOnTrial = false;
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }

  #noticeAway(failure: ConnectionError): void {
    const { code, message } = failure;
    if (this.#failure !== undefined || code === "closed") return;
    this.#failure = failure;
    this.#options.logger.warn(
      `Cache server ${this.name} does not answer, its share counts as missing: ${message}`,
    );
  }

  async #connectInTime(signal: AbortSignal): Promise<LmConnection> {
    const { connectTimeoutMs } = this.#options;
    if (connectTimeoutMs === undefined) return await this.#connect(signal);
    const limit = new AbortController();
    const timer = setTimeout(() => {
      const sentence = `No connection within ${connectTimeoutMs} ms`;
      limit.abort(new ConnectionError("timeout", sentence));
    }, connectTimeoutMs).unref();
    try {
      return await this.#connect(AbortSignal.any([signal, limit.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  async #connect(signal: AbortSignal): Promise<LmConnection> {
    const { clock } = this.#options;
    if (clock.nowMs() >= this.#forgetsAtMs) this.#dialect = undefined;
    const known = this.#dialect;
    const others = dialectsOf(this.#url.form).filter((dialect) => dialect !== known);
    let refusal: unknown;
    for (const dialect of known ? [known, ...others] : others) {
      const socket = await this.#connectSocket(signal);
      try {
        const connection = await this.#greet(socket, dialect, signal);
        if (dialect !== known) this.#forgetsAtMs = clock.nowMs() + REMEMBER_MS;
        this.#dialect = dialect;
        return connection;
      } catch (error) {
        if (!(error instanceof ConnectionError && error.code === "unavailable")) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  async #connectSocket(signal: AbortSignal): Promise<Connection> {
    const { timeoutMs, tls = {} } = this.#options;
    const { isTls } = this.#url;
    return await Connection.connect({
      ...this.#host,
      tls: isTls ? tls : undefined,
      timeoutMs,
      signal,
    });
  }

  async #greet(socket: Connection, dialect: LmDialect, signal: AbortSignal): Promise<LmConnection> {
    const onAbort = (): void => socket[Symbol.dispose]();
    signal.addEventListener("abort", onAbort);
    try {
      return await LmConnection.greet(socket, dialect, this.#url.token ?? this.#options.token);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}
