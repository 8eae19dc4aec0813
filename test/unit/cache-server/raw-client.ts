import { type Socket, connect } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import {
  LM_COMMANDS,
  type LmForm,
  type LmReply,
  type LmValueType,
  decodeLmReply,
  encodeLmRequest,
  lmReplyBytes,
  lmRequest,
} from "../../../src/protocol/index.ts";

export const TYPE: LmValueType = { format: 1, dtype: 3, shape: [2, 1, 2, 2] };

export function putFrame(key: string, body: Uint8Array, form: LmForm = "current"): Buffer {
  const head = lmRequest(LM_COMMANDS.put, key, { ...TYPE, byteLength: body.byteLength });
  return Buffer.concat([encodeLmRequest(head, form), body]);
}

export function frame(command: keyof typeof LM_COMMANDS, key: string, form?: LmForm): Buffer {
  return encodeLmRequest(lmRequest(LM_COMMANDS[command], key), form);
}

/** A peer that sends any bytes and reads any bytes: for saying what no honest client says. */
export class RawClient implements Disposable {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  #numReceived = 0;
  #isClosed = false;
  #wake: () => void = () => {};

  static async connect(port: number, tls?: ConnectionOptions): Promise<RawClient> {
    const socket =
      tls === undefined
        ? connect(port, "127.0.0.1")
        : connectTls({ port, host: "127.0.0.1", ...tls });
    await new Promise((resolve, reject) => {
      socket.once(tls === undefined ? "connect" : "secureConnect", resolve).once("error", reject);
    });
    return new RawClient(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.#chunks.push(chunk);
      this.#numReceived += chunk.byteLength;
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  send(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(bytes, () => resolve());
    });
  }

  /** @throws Error when the server closes before they have come */
  async read(numBytes: number): Promise<Buffer> {
    while (this.#numReceived < numBytes) {
      if (this.#isClosed) throw new Error("The server closed the connection");
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const received = Buffer.concat(this.#chunks.splice(0));
    if (received.byteLength > numBytes) this.#chunks.push(received.subarray(numBytes));
    this.#numReceived -= numBytes;
    return received.subarray(0, numBytes);
  }

  async reply(form?: LmForm): Promise<{ head: LmReply; body: Buffer }> {
    const head = decodeLmReply(await this.read(lmReplyBytes(form ?? "current")), form);
    return { head, body: await this.read(head.byteLength) };
  }

  async ask(request: Uint8Array, form?: LmForm): Promise<{ head: LmReply; body: Buffer }> {
    await this.send(request);
    return this.reply(form);
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    while (!this.#isClosed) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
