import { type Socket, connect } from "node:net";
import { setImmediate } from "node:timers/promises";
import { Peer } from "../../protocol/peer.ts";

export type Fault =
  /** Each byte is a packet of its own. */
  | "trickle"
  /** Nothing comes any more after so many bytes. */
  | "freeze"
  /** From now on nothing comes any more, on connections that there are and on new ones. */
  | "stop"
  | "reset"
  | "end"
  /** The byte there is another one. */
  | "wrong byte"
  /** Bytes that belong to nothing come in between. */
  | "garbage";

/** The way from a server to its client, on which things happen. */
export class FaultyWay implements AsyncDisposable {
  /** What happens; undefined: nothing. */
  fault: Fault | undefined;
  /** After so many bytes of a connection, on their way to the client. */
  afterBytes = 0;
  #peer!: Peer;
  readonly #serverPort: number;

  private constructor(serverPort: number) {
    this.#serverPort = serverPort;
  }

  static async open(serverPort: number): Promise<FaultyWay> {
    const way = new FaultyWay(serverPort);
    way.#peer = await Peer.listen((socket) => way.#join(socket));
    return way;
  }

  get host(): string {
    return `127.0.0.1:${this.#peer.port}`;
  }
  get numOpen(): number {
    return this.#peer.sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
  }

  #join(client: Socket): void {
    client.setNoDelay(true);
    const server = connect(this.#serverPort, "127.0.0.1").on("error", () => client.destroy());
    client.pipe(server);
    client.on("close", () => server.destroy());
    void this.#carry(server, client).catch(() => client.destroy());
  }

  async #carry(server: Socket, client: Socket): Promise<void> {
    let numBytes = 0;
    for await (const chunk of server as AsyncIterable<Buffer>) {
      const place = this.afterBytes - numBytes;
      const isHere = this.fault !== undefined && place >= 0 && place < chunk.byteLength;
      numBytes += chunk.byteLength;
      if (this.fault === "stop") {
        await new Promise((resolve) => client.once("close", resolve));
        return;
      } else if (this.fault === "trickle") {
        for (const byte of chunk) {
          client.write(Buffer.of(byte));
          await setImmediate();
        }
      } else if (!isHere) {
        client.write(chunk);
      } else {
        client.write(chunk.subarray(0, place));
        // What was written is to arrive before what happens.
        await setImmediate();
        switch (this.fault) {
          case "freeze":
            await new Promise((resolve) => client.once("close", resolve));
            return;
          case "reset":
            client.resetAndDestroy();
            return;
          case "end":
            client.end();
            return;
          case "garbage":
            client.write(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
            client.write(chunk.subarray(place));
            break;
          default:
            chunk[place]! ^= 0xff;
            client.write(chunk.subarray(place));
        }
      }
    }
    client.end();
  }
}
