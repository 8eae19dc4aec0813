import {
  CORO_RPC_REPLY_HEAD_BYTES,
  type Connection,
  ConnectionError,
  CoroRpcError,
  MOONCAKE_LAYOUTS,
  type MooncakeCall,
  type MooncakeLayout,
  REPLICATE_CONFIG,
  coroRpcFunctionId,
  decodeCoroRpcReplyHead,
  encodeCoroRpcRequestHead,
  isPacked,
  pack,
  unpack,
} from "../../protocol/index.ts";

/** Far above what a lookup of a million names answers. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;

/** No tenant of Mooncake's: keys are kept apart by their own salt. */
export const TENANT = "default";

const NOBODY = [0n, 0n] as const;

/** A connection to the master that knows which release's layout it speaks. One call at a time. */
export class MasterConnection implements Disposable {
  readonly layout: MooncakeLayout;
  readonly #connection: Connection;
  readonly #caller: Caller;

  private constructor(connection: Connection, caller: Caller, layout: MooncakeLayout) {
    this.#connection = connection;
    this.#caller = caller;
    this.layout = layout;
  }

  /**
   * Finds the layout by trial: with arguments that no release accepts as values (an empty key), but only the right
   * one as types. Nothing changes in the master.
   *
   * @param likely what the last connection found
   */
  static async open(connection: Connection, likely?: MooncakeLayout): Promise<MasterConnection> {
    const caller = new Caller(connection);
    const others = MOONCAKE_LAYOUTS.filter((layout) => layout !== likely);
    for (const layout of likely === undefined ? others : [likely, ...others]) {
      if (await fits(caller, layout)) return new MasterConnection(connection, caller, layout);
    }
    const known = `${MOONCAKE_LAYOUTS.at(-1)!.release} to ${MOONCAKE_LAYOUTS[0]!.release}`;
    throw new ConnectionError(
      "protocol",
      `The master's release is none whose messages are known: wanted Mooncake ${known}`,
    );
  }

  get isBroken(): boolean {
    return this.#connection.isBroken;
  }
  get numBytesReceived(): number {
    return this.#connection.numBytesReceived;
  }

  async call<A, R>(call: MooncakeCall<A, R>, args: A): Promise<R> {
    const answer = await this.#caller.call(call, args);
    if (answer.error === CoroRpcError.none) return unpack(call.reply, answer.body);
    throw new ConnectionError("protocol", `The master refused ${call.name}: error ${answer.error}`);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}

async function fits(caller: Caller, layout: MooncakeLayout): Promise<boolean> {
  const key = { key: "", tenantId: TENANT };
  const put = { ...key, clientId: NOBODY };
  const object = { key: "", checksum: undefined };
  return (
    (await caller.accepts(layout.replicas, key)) &&
    (await caller.accepts(layout.putStart, {
      ...put,
      sliceBytes: [0n],
      config: REPLICATE_CONFIG,
    })) &&
    (await caller.accepts(layout.putEnd, { ...put, object, replicaType: 0 }))
  );
}

interface Answer {
  readonly error: number;
  readonly body: Buffer;
}

class Caller {
  readonly #connection: Connection;
  #sequence = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async accepts<A, R>(call: MooncakeCall<A, R>, args: A): Promise<boolean> {
    const { error, body } = await this.call(call, args);
    return error === CoroRpcError.none && isPacked(call.reply, body);
  }

  async call<A, R>(call: MooncakeCall<A, R>, args: A): Promise<Answer> {
    const sequence = ++this.#sequence;
    const functionId = coroRpcFunctionId(`mooncake::WrappedMasterService::${call.name}`);
    const request = pack(call.request, args);
    const head = encodeCoroRpcRequestHead({ sequence, functionId, bodyBytes: request.length });
    await this.#connection.write([head, request]);
    const replyHead = Buffer.alloc(CORO_RPC_REPLY_HEAD_BYTES);
    await this.#connection.readInto(replyHead);
    const reply = decodeCoroRpcReplyHead(replyHead);
    if (reply.sequence !== sequence || reply.bodyBytes > MAX_REPLY_BYTES) {
      throw new ConnectionError("protocol", "The master's reply belongs to another call");
    }
    const body = Buffer.alloc(reply.bodyBytes);
    await this.#connection.readInto(body);
    return { error: reply.error, body };
  }
}
