import type { Socket } from "node:net";
import {
  Connection,
  LM_CODES,
  LM_COMMANDS,
  type LmForm,
  type LmRequest,
  decodeLmRequest,
  encodeLmReply,
  lmReplyWithout,
  lmRequestBytes,
} from "../../../../src/protocol/index.ts";
import { Peer } from "../../protocol/peer.ts";

/** What LMCache's server does with a command it does not know: early ones ignore it, later ones close. */
export type Manners = "ignores" | "closes";

interface Value {
  readonly request: LmRequest;
  readonly body: Buffer;
}

/** A cache server with the commands of LMCache's, and none of ours. */
export class LmcacheServer implements AsyncDisposable {
  readonly values = new Map<string, Value>();
  readonly commands: number[] = [];
  readonly #manners: Manners;
  readonly #form: LmForm;
  #peer!: Peer;

  private constructor(manners: Manners, form: LmForm) {
    this.#manners = manners;
    this.#form = form;
  }

  static async listen(
    manners: Manners = "ignores",
    form: LmForm = "current",
    port = 0,
  ): Promise<LmcacheServer> {
    const server = new LmcacheServer(manners, form);
    server.#peer = await Peer.listen((socket) => void server.#serve(socket).catch(() => {}), port);
    return server;
  }

  get port(): number {
    return this.#peer.port;
  }
  get host(): string {
    return `127.0.0.1:${this.port}`;
  }
  get numConnections(): number {
    return this.#peer.numConnections;
  }
  get numOpen(): number {
    return this.#peer.sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
  }

  async #serve(socket: Socket): Promise<void> {
    using connection = Connection.accept(socket, 0);
    const head = Buffer.alloc(lmRequestBytes(this.#form));
    for (;;) {
      await connection.readInto(head);
      const request = decodeLmRequest(head, this.#form);
      this.commands.push(request.command);
      const value = this.values.get(request.key);
      const code = value === undefined ? LM_CODES.fail : LM_CODES.success;
      switch (request.command) {
        case LM_COMMANDS.put: {
          const body = Buffer.alloc(request.byteLength);
          await connection.readInto(body);
          this.values.set(request.key, { request, body });
          break;
        }
        case LM_COMMANDS.get:
          if (value) await this.#sendValue(connection, value);
          else await this.#sendCode(connection, LM_CODES.fail);
          break;
        case LM_COMMANDS.exist:
          await this.#sendCode(connection, code);
          break;
        case LM_COMMANDS.health:
          await this.#sendCode(connection, LM_CODES.success);
          break;
        default:
          if (this.#manners === "closes") return;
      }
    }
  }

  async #sendCode(connection: Connection, code: number): Promise<void> {
    await connection.write([encodeLmReply(lmReplyWithout(code), this.#form)]);
  }

  /** As LMCache's: the head on its own. */
  async #sendValue(connection: Connection, { request, body }: Value): Promise<void> {
    const reply = { ...request, code: LM_CODES.success, location: 0 };
    await connection.write([encodeLmReply(reply, this.#form)]);
    await connection.write([body]);
  }
}
