import { type NetConnectOpts, type OnReadOpts, type Socket, connect, isIP } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { takeOver } from "./accepted-socket.ts";
import { ConnectionError, socketFailureCode } from "./connection-error.ts";
import { Inbox } from "./inbox.ts";

export interface ConnectOptions {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** A unix socket, instead of host and port. */
  readonly path?: string | undefined;
  readonly tls?: ConnectionOptions | undefined;
  /** For connecting, and afterwards the longest silence of the peer while a read or a write waits for it. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * A stream of bytes to and from a peer, for exchanges of large values: bodies are written from and read into the
 * caller's memory without a copy of ours (TLS makes one). Bytes that nobody reads stay in the kernel, but for a few
 * KiB. One read at a time. After the first failure every call rejects with that ConnectionError.
 */
export class Connection implements Disposable {
  readonly #socket: Socket;
  readonly #inbox: Inbox;
  readonly #timeoutMs: number;
  readonly #writers = new Set<(error: Error) => void>();
  #failure: ConnectionError | undefined;
  #isTimerSpent = false;

  /** @param isDirect the socket reads into the windows of `inbox`; else its "data" events are listened to */
  private constructor(socket: Socket, inbox: Inbox, isDirect: boolean, timeoutMs: number) {
    this.#socket = socket;
    this.#inbox = inbox;
    this.#timeoutMs = timeoutMs;
    socket.setNoDelay(true);
    socket.setTimeout(timeoutMs);
    socket.on("timeout", () => this.#onTimeout());
    socket.on("error", (error) => this.#fail(failureOf(error)));
    socket.on("end", () => this.#fail(closedByPeer()));
    socket.on("close", () => this.#fail(closedByPeer()));
    if (!isDirect) {
      socket.on("data", (chunk: Buffer) => {
        if (!inbox.give(chunk)) socket.pause();
      });
    }
  }

  /** Rejects with a ConnectionError, or with the signal's reason. */
  static async connect(options: ConnectOptions): Promise<Connection> {
    const { tls, timeoutMs, signal } = options;
    const inbox = new Inbox();
    const target = addressOf(options);
    signal.throwIfAborted();
    return await new Promise((resolve, reject) => {
      const socket =
        tls === undefined
          ? connect({ ...target, onread: readInto(inbox) })
          : connectTls({ ...serverName(options.host), ...target, ...tls });
      const timer = setTimeout(() => {
        give(new ConnectionError("timeout", `No connection within ${timeoutMs} ms`));
      }, timeoutMs);
      const onAbort = (): void => give(signal.reason as Error);
      const onFailure = (error: Error): void => give(failureOf(error));
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        socket.off("error", onFailure).off("close", onClose);
      };
      const give = (error: Error): void => {
        settle();
        // A socket that is being torn down may still say why.
        socket.on("error", () => {}).destroy();
        reject(error);
      };
      const onClose = (): void => give(closedByPeer());
      signal.addEventListener("abort", onAbort);
      socket.on("error", onFailure).on("close", onClose);
      socket.once(tls === undefined ? "connect" : "secureConnect", () => {
        settle();
        resolve(new Connection(socket, inbox, tls === undefined, timeoutMs));
      });
    });
  }

  /**
   * For servers: takes over what net's "connection" or tls's "secureConnection" event gave, within that event.
   *
   * @param timeoutMs the longest silence of the peer while a read or a write waits for it; 0: any
   */
  static accept(accepted: Socket, timeoutMs: number): Connection {
    const inbox = new Inbox();
    const socket = takeOver(accepted, readInto(inbox));
    return new Connection(socket ?? accepted, inbox, socket !== undefined, timeoutMs);
  }

  get isBroken(): boolean {
    return this.#failure !== undefined;
  }
  get numBytesReceived(): number {
    return this.#inbox.numBytesReceived;
  }
  /** Received and not asked for yet. Between two exchanges of a client there are none. */
  get numUnreadBytes(): number {
    return this.#inbox.numUnreadBytes;
  }
  /** For logs. */
  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  /** Sends the parts as one; resolves when the kernel has taken them all: their memory may be used again then. */
  write(parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const filled = parts.filter(({ byteLength }) => byteLength > 0);
      const last = filled.pop();
      if (last === undefined) {
        resolve();
        return;
      }
      this.#watch();
      this.#writers.add(reject);
      this.#socket.cork();
      for (const part of filled) this.#socket.write(part);
      this.#socket.write(last, (error) => {
        if (error) return;
        this.#writers.delete(reject);
        resolve();
      });
      this.#socket.uncork();
    });
  }

  /** Fills `target`, to the last byte and not one more. */
  readInto(target: Uint8Array): Promise<void> {
    return this.#read(() => this.#inbox.readInto(target));
  }

  /** The text up to CRLF, which is not part of it; latin1. A longer line than `maxBytes` breaks the connection. */
  readLine(maxBytes: number): Promise<string> {
    return this.#read(() => this.#inbox.readLine(maxBytes));
  }

  /** Destroys the socket; what is pending rejects. */
  [Symbol.dispose](): void {
    this.#fail(new ConnectionError("closed", "The connection was closed"));
  }

  async #read<T>(read: () => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure;
    this.#watch();
    const reading = read();
    if (this.#inbox.numUnreadBytes === 0) this.#receive();
    try {
      return await reading;
    } catch (error) {
      this.#fail(failureOf(error));
      throw this.#failure;
    }
  }

  #receive(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
    // Of a socket with windows this starts the reading and touches no stream buffer.
    else this.#socket.read(0);
  }

  /** The timer of an idle connection runs out without harm and must be wound up again. */
  #watch(): void {
    if (!this.#isTimerSpent) return;
    this.#isTimerSpent = false;
    this.#socket.setTimeout(this.#timeoutMs);
  }

  #onTimeout(): void {
    this.#isTimerSpent = true;
    if (!this.#inbox.isAwaited && this.#writers.size === 0) return;
    this.#fail(new ConnectionError("timeout", `The peer was silent for ${this.#timeoutMs} ms`));
  }

  #fail(failure: ConnectionError): void {
    if (this.#failure) return;
    this.#failure = failure;
    this.#socket.destroy();
    this.#inbox.fail(failure);
    for (const reject of this.#writers) reject(failure);
    this.#writers.clear();
  }
}

function readInto(inbox: Inbox): OnReadOpts {
  return {
    buffer: () => inbox.window(),
    callback: (numBytes, window) => inbox.received(numBytes, window),
  };
}

function addressOf({ host, port, path }: ConnectOptions): NetConnectOpts {
  if (path !== undefined) return { path };
  return { host: host ?? "localhost", port: port ?? 0 };
}

/** Certificates are asked for by name; an address is none. */
function serverName(host: string | undefined): ConnectionOptions {
  return host === undefined || isIP(host) > 0 ? {} : { servername: host };
}

function failureOf(error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  const { message } = error as Error;
  // Several addresses failed: the message of the whole is empty.
  const text = error instanceof AggregateError ? (error.errors as Error[])[0]?.message : message;
  return new ConnectionError(socketFailureCode(error), text ?? message, { cause: error });
}

function closedByPeer(): ConnectionError {
  return new ConnectionError("unavailable", "The peer closed the connection");
}
