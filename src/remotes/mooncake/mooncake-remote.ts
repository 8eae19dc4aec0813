import { type Clock, type Logger, TierError } from "../../core/index.ts";
import {
  ConnectionError,
  type MooncakeBuffer,
  MooncakeReplicaStatus,
  memoryBuffers,
} from "../../protocol/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteCall, RemoteStore } from "../remote-store.ts";
import { MasterError, MooncakeMaster, unexpectedAnswer } from "./mooncake-master.ts";
import { MooncakePut } from "./mooncake-put.ts";
import type { MooncakeSettings } from "./mooncake-settings.ts";
import { HttpSegmentDirectory, PeerSegmentDirectory } from "./segment-directory.ts";
import { SegmentPools } from "./segment-pools.ts";

/** The master knows where values are; their bytes go to and come from whoever lends the memory. */
export class MooncakeRemote implements RemoteStore {
  readonly address: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #master: MooncakeMaster;
  readonly #segments: SegmentPools;
  readonly #put: MooncakePut;

  constructor({ master, metadataUrl }: MooncakeSettings, options: RemoteOptions) {
    const { timeoutMs, clock, logger } = options;
    const host = master.host.includes(":") ? `[${master.host}]` : master.host;
    this.address = `mooncakestore://${host}:${master.port}`;
    this.#clock = clock;
    this.#logger = logger;
    this.#master = new MooncakeMaster(master, options);
    this.#segments = new SegmentPools(
      metadataUrl === undefined
        ? new PeerSegmentDirectory(timeoutMs)
        : new HttpSegmentDirectory(metadataUrl, timeoutMs),
      options,
      () => this.#master.layout?.isOneTransferPerConnection === true,
    );
    this.#put = new MooncakePut(this.#master, this.#segments, clock, logger);
  }

  lookup(names: readonly string[], call: RemoteCall): Promise<number> {
    return this.#guard(call, async () => {
      if (names.length === 0) return 0;
      const gap = (await this.#master.exist(names, call)).indexOf(false);
      return gap < 0 ? names.length : gap;
    });
  }

  get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    call: RemoteCall,
  ): Promise<number | undefined> {
    return this.#guard(call, async () => {
      const askedMs = this.#clock.nowMs();
      const answer = await this.#master.replicas(name, call);
      if (!answer.ok) {
        if (!MISSES.has(answer.error)) throw unexpectedAnswer(answer.error);
        return undefined;
      }
      const { replicas, leaseMs } = answer.value;
      const whole = replicas.filter(({ status }) => status === MooncakeReplicaStatus.complete);
      const buffers = whole.map(memoryBuffers).find(({ length }) => length > 0);
      if (buffers === undefined) return undefined;
      const byteLength = buffers.reduce((sum, { sizeBytes }) => sum + Number(sizeBytes), 0);
      const target = allocate(byteLength);
      if (target === undefined || !(await this.#read(buffers, target, call))) return undefined;
      // After the lease the memory may have become another value's.
      return this.#clock.nowMs() - askedMs < Number(leaseMs) ? byteLength : undefined;
    });
  }

  put(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean> {
    return this.#guard(call, async () => {
      // The master takes no empty values.
      return value.byteLength > 0 && (await this.#put.put(name, value, call));
    });
  }

  remove(names: readonly string[], call: RemoteCall): Promise<number> {
    return this.#guard(call, async () => {
      let numRemoved = 0;
      for (const name of names) if ((await this.#master.remove(name, call)).ok) numRemoved++;
      return numRemoved;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#master[Symbol.asyncDispose]();
    await this.#segments[Symbol.asyncDispose]();
  }

  /** @returns false where the owner is gone: what it held is gone too, whatever the master still thinks */
  async #read(
    buffers: readonly MooncakeBuffer[],
    target: Uint8Array,
    { priority, signal }: RemoteCall,
  ): Promise<boolean> {
    let offset = 0;
    try {
      for (const { segment, address, sizeBytes } of buffers) {
        const part = target.subarray(offset, offset + Number(sizeBytes));
        await this.#segments.use(segment, priority, signal, (owner) => owner.read(address, part));
        offset += part.byteLength;
      }
      return true;
    } catch (error) {
      if (!(error instanceof ConnectionError && error.code === "unavailable")) throw error;
      this.#logger.debug(`${this.address}: ${error.message}`);
      return false;
    }
  }

  async #guard<T>({ signal }: RemoteCall, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || !(error instanceof ConnectionError)) throw error;
      throw new TierError(this.address, error.code, error.message, { cause: error });
    }
  }
}

const MISSES: ReadonlySet<number> = new Set([
  MasterError.notReady,
  MasterError.notFound,
  MasterError.replicaNotFound,
  MasterError.replicaGone,
]);
