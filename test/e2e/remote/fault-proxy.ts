import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

/** What becomes of the bytes between a client and the server. */
export type Fault =
  | { readonly kind: "none" }
  /** Nobody listens. */
  | { readonly kind: "refuse" }
  /** Accepts, and then nothing comes. */
  | { readonly kind: "freeze" }
  /** The server's bytes come at this speed. */
  | { readonly kind: "slow"; readonly bytesPerSecond: number }
  /** Every so many of the server's bytes one has another value. */
  | { readonly kind: "corrupt"; readonly everyBytes: number }
  /** The connection is reset when the client has sent, or the server has answered, so many bytes. */
  | { readonly kind: "reset"; readonly after: "request" | "answer"; readonly numBytes: number }
  /** The server's side is closed, in good order, behind so many bytes. */
  | { readonly kind: "half"; readonly numBytes: number };

const SLOW_TICK_MS = 10;

/** Stands in front of a server and makes its network bad. The fault may be changed at any time. */
export class FaultProxy implements AsyncDisposable {
  readonly #targetPort: number;
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #port = 0;
  #fault: Fault = { kind: "none" };

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  static async start(targetPort: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort);
    await proxy.#listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** What happens from now on, to open connections too. */
  async set(fault: Fault): Promise<void> {
    this.#fault = fault;
    if (fault.kind === "refuse") await this.#stop();
    else if (this.#server === undefined) await this.#listen();
    for (const pair of this.#pairs) pair.set(fault);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stop();
  }

  async #listen(): Promise<void> {
    const server = createServer((client) => {
      const pair = new Pair(client, connect(this.#targetPort, "127.0.0.1"), () => {
        this.#pairs.delete(pair);
      });
      pair.set(this.#fault);
      this.#pairs.add(pair);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
  }

  async #stop(): Promise<void> {
    for (const pair of this.#pairs) pair.reset();
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}

/** One client's connection and the one to the server. */
class Pair {
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #onEnd: () => void;
  #fault: Fault = { kind: "none" };
  #numSent = 0;
  #numAnswered = 0;
  #waiting: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(client: Socket, upstream: Socket, onEnd: () => void) {
    this.#client = client;
    this.#upstream = upstream;
    this.#onEnd = onEnd;
    client.on("data", (bytes) => this.#forward(bytes));
    upstream.on("data", (bytes) => this.#answer(bytes));
    for (const socket of [client, upstream]) {
      socket.on("error", () => {});
      socket.on("close", () => this.reset());
    }
  }

  set(fault: Fault): void {
    this.#fault = fault;
    this.#numSent = 0;
    this.#numAnswered = 0;
    clearInterval(this.#timer);
    if (fault.kind === "slow") {
      this.#timer = setInterval(() => this.#trickle(fault.bytesPerSecond), SLOW_TICK_MS);
    } else if (fault.kind !== "freeze") {
      for (const bytes of this.#waiting.splice(0)) this.#client.write(bytes);
      this.#upstream.resume();
    }
  }

  reset(): void {
    clearInterval(this.#timer);
    this.#client.resetAndDestroy();
    this.#upstream.destroy();
    this.#onEnd();
  }

  #forward(bytes: Buffer): void {
    const fault = this.#fault;
    if (fault.kind === "freeze") return;
    this.#numSent += bytes.byteLength;
    if (fault.kind === "reset" && fault.after === "request" && this.#numSent > fault.numBytes) {
      this.reset();
    } else this.#upstream.write(bytes);
  }

  #answer(bytes: Buffer): void {
    const fault = this.#fault;
    const start = this.#numAnswered;
    this.#numAnswered += bytes.byteLength;
    switch (fault.kind) {
      case "freeze":
        return;
      case "slow":
        this.#waiting.push(bytes);
        this.#upstream.pause();
        return;
      case "corrupt":
        for (let at = 0; at < bytes.byteLength; at++) {
          if ((start + at + 1) % fault.everyBytes === 0) bytes[at] = bytes[at]! ^ 0x55;
        }
        break;
      case "reset":
        if (fault.after === "answer" && this.#numAnswered > fault.numBytes) {
          this.reset();
          return;
        }
        break;
      case "half":
        if (this.#numAnswered > fault.numBytes) {
          this.#client.end(bytes.subarray(0, Math.max(0, fault.numBytes - start)));
          return;
        }
    }
    this.#client.write(bytes);
  }

  #trickle(bytesPerSecond: number): void {
    let room = Math.ceil((bytesPerSecond * SLOW_TICK_MS) / 1000);
    while (room > 0 && this.#waiting.length > 0) {
      const bytes = this.#waiting.shift()!;
      this.#client.write(bytes.subarray(0, room));
      if (bytes.byteLength > room) this.#waiting.unshift(bytes.subarray(room));
      room -= bytes.byteLength;
    }
    if (this.#waiting.length === 0) this.#upstream.resume();
  }
}
