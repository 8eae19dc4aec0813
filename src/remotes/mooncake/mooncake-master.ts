import { randomBytes } from "node:crypto";
import {
  Connection,
  ConnectionError,
  ConnectionPool,
  type Expected,
  type MooncakeLayout,
  type MooncakeReplica,
  MooncakeReplicaType,
  type MooncakeReplicas,
  REPLICATE_CONFIG,
} from "../../protocol/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteCall } from "../remote-store.ts";
import { MasterConnection, TENANT } from "./master-connection.ts";
import type { HostAndPort } from "./mooncake-settings.ts";

/** What a client asks the master, whatever its release. */
export class MooncakeMaster implements AsyncDisposable {
  readonly #pool: ConnectionPool<MasterConnection>;
  /** Puts belong to whoever began them. */
  readonly #clientId = [
    randomBytes(8).readBigUInt64LE(),
    randomBytes(8).readBigUInt64LE(),
  ] as const;
  #layout: MooncakeLayout | undefined;

  constructor({ host, port }: HostAndPort, options: RemoteOptions) {
    const { timeoutMs, maxConnections, clock, random, logger } = options;
    this.#pool = new ConnectionPool<MasterConnection>({
      connect: async (signal) => {
        const connection = await Connection.connect({ host, port, timeoutMs, signal });
        const master = await openUntil(signal, connection, this.#layout);
        if (master.layout !== this.#layout) {
          logger.info(`Mooncake master ${host}:${port} speaks as release ${master.layout.release}`);
        }
        this.#layout = master.layout;
        return master;
      },
      maxConnections,
      maxWaiting: MAX_WAITING,
      idleMs: IDLE_MS,
      clock,
      random,
    });
  }

  /** The last one connected to. */
  get layout(): MooncakeLayout | undefined {
    return this.#layout;
  }

  /** Of each key, whether it has a whole value; that value is then safe for the time of a lease. */
  async exist(keys: readonly string[], call: RemoteCall): Promise<boolean[]> {
    const found = await this.#ask(call, (master) =>
      master.call(master.layout.batchExist, { keys, tenantId: TENANT }),
    );
    return keys.map((_, index) => {
      const one = found[index];
      return one !== undefined && one.ok && one.value;
    });
  }

  replicas(key: string, call: RemoteCall): Promise<Expected<MooncakeReplicas>> {
    return this.#ask(call, (master) =>
      master.call(master.layout.replicas, { key, tenantId: TENANT }),
    );
  }

  putStart(
    key: string,
    byteLength: number,
    call: RemoteCall,
  ): Promise<Expected<readonly MooncakeReplica[]>> {
    const sliceBytes = [BigInt(byteLength)];
    return this.#ask(call, (master) =>
      master.call(master.layout.putStart, {
        ...this.#owned(key),
        sliceBytes,
        config: REPLICATE_CONFIG,
      }),
    );
  }

  putEnd(key: string, call: RemoteCall): Promise<Expected<undefined>> {
    return this.#ask(call, (master) => master.call(master.layout.putEnd, this.#owned(key)));
  }

  putRevoke(key: string, call: RemoteCall): Promise<Expected<undefined>> {
    return this.#ask(call, (master) => master.call(master.layout.putRevoke, this.#owned(key)));
  }

  remove(key: string, call: RemoteCall): Promise<Expected<undefined>> {
    // What is removed is damaged: a lease, our own most of all, must not keep it.
    return this.#ask(call, (master) =>
      master.call(master.layout.remove, { key, tenantId: TENANT, force: true }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }

  #ask<T>(call: RemoteCall, exchange: (master: MasterConnection) => Promise<T>): Promise<T> {
    return this.#pool.use(call.priority, call.signal, exchange);
  }

  #owned(key: string) {
    return {
      key,
      tenantId: TENANT,
      clientId: this.#clientId,
      object: { key, checksum: undefined },
      replicaType: MooncakeReplicaType.memory,
    };
  }
}

const MAX_WAITING = 4096;
const IDLE_MS = 60_000;

/** The answers that are no failures. */
export const MasterError = {
  noSegment: -101,
  noRoom: -200,
  /** Of a put: larger than the master's allocator takes. */
  invalid: -600,
  notReady: -703,
  notFound: -704,
  exists: -705,
  replicaNotFound: -710,
  replicaGone: -712,
} as const;

export function unexpectedAnswer(error: number): ConnectionError {
  return new ConnectionError("unavailable", `The master answered with error ${error}`);
}

async function openUntil(
  signal: AbortSignal,
  connection: Connection,
  likely: MooncakeLayout | undefined,
): Promise<MasterConnection> {
  const onAbort = (): void => connection[Symbol.dispose]();
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    return await MasterConnection.open(connection, likely);
  } catch (error) {
    connection[Symbol.dispose]();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
