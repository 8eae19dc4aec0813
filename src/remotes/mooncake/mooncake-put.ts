import type { Clock, Logger } from "../../core/index.ts";
import { ConnectionError, type MooncakeReplica, memoryBuffers } from "../../protocol/index.ts";
import type { RemoteCall } from "../remote-store.ts";
import { Turns } from "../turns.ts";
import { MasterError, type MooncakeMaster, unexpectedAnswer } from "./mooncake-master.ts";
import type { SegmentPools } from "./segment-pools.ts";
import { type PutStage, UnfinishedPuts } from "./unfinished-puts.ts";

/** Puts: room from the master, the value to the owners of that room, the end to the master. */
export class MooncakePut {
  readonly #master: MooncakeMaster;
  readonly #segments: SegmentPools;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #turns = new Turns();
  readonly #unfinished: UnfinishedPuts;

  constructor(master: MooncakeMaster, segments: SegmentPools, clock: Clock, logger: Logger) {
    this.#master = master;
    this.#segments = segments;
    this.#clock = clock;
    this.#logger = logger;
    this.#unfinished = new UnfinishedPuts(clock);
  }

  put(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean> {
    return this.#turns.run(name, call.signal, () => this.#putNow(name, value, call));
  }

  async #putNow(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean> {
    const sinceMs = this.#clock.nowMs();
    const before = this.#unfinished.take(name);
    let stage: PutStage | undefined = before;
    try {
      if (before?.kind === "written" && (await this.#end(name, call))) {
        stage = undefined;
        return true;
      }
      let replicas = before?.kind === "writing" ? before.replicas : undefined;
      if (replicas === undefined) {
        if (before?.kind === "asked") await this.#master.putRevoke(name, call);
        stage = { kind: "asked" };
        const started = await this.#master.putStart(name, value.byteLength, call);
        if (!started.ok) {
          stage = undefined;
          return await this.#explainRefusal(name, started.error, call);
        }
        replicas = started.value;
      }
      const writing = { kind: "writing", replicas } as const;
      const isWritten = await this.#write(replicas, value, call, () => (stage = writing));
      if (!isWritten) {
        // Nothing was sent: whoever lends that room is gone.
        await this.#master.putRevoke(name, call);
        stage = undefined;
        return false;
      }
      stage = { kind: "written" };
      const isStored = await this.#end(name, call);
      stage = undefined;
      return isStored;
    } finally {
      if (stage !== undefined) this.#unfinished.add(name, stage, sinceMs);
    }
  }

  async #end(name: string, call: RemoteCall): Promise<boolean> {
    const ended = await this.#master.putEnd(name, call);
    if (ended.ok) return true;
    const [isStored] = await this.#master.exist([name], call);
    return isStored === true;
  }

  async #explainRefusal(name: string, error: number, call: RemoteCall): Promise<boolean> {
    if (REFUSALS.has(error)) return false;
    if (error !== MasterError.exists) throw unexpectedAnswer(error);
    // Whole, or still being written by somebody.
    const [isStored] = await this.#master.exist([name], call);
    return isStored === true;
  }

  /**
   * @param onSend before the first byte
   * @returns false where an owner was gone before anything was sent
   */
  async #write(
    replicas: readonly MooncakeReplica[],
    value: Uint8Array,
    { priority, signal }: RemoteCall,
    onSend: () => void,
  ): Promise<boolean> {
    let hasSent = false;
    try {
      for (const { segment, address, part } of parts(replicas, value)) {
        await this.#segments.use(segment, priority, signal, (owner) => {
          hasSent = true;
          onSend();
          return owner.write(address, part);
        });
      }
      return true;
    } catch (error) {
      const isGone = error instanceof ConnectionError && error.code === "unavailable";
      if (hasSent || !isGone || signal.aborted) throw error;
      this.#logger.debug(`Mooncake put: ${error.message}`);
      return false;
    }
  }
}

/** Which bytes go where: all of them to every replica in memory. */
function parts(
  replicas: readonly MooncakeReplica[],
  value: Uint8Array,
): { segment: string; address: bigint; part: Uint8Array }[] {
  const all = replicas.map(memoryBuffers).filter(({ length }) => length > 0);
  for (const buffers of all) {
    const roomBytes = buffers.reduce((sum, { sizeBytes }) => sum + Number(sizeBytes), 0);
    if (roomBytes !== value.byteLength) throw wrongRoom(roomBytes, value.byteLength);
  }
  if (all.length === 0) throw wrongRoom(0, value.byteLength);
  return all.flatMap((buffers) => {
    let offset = 0;
    return buffers.map(({ segment, address, sizeBytes }) => {
      const part = value.subarray(offset, offset + Number(sizeBytes));
      offset += part.byteLength;
      return { segment, address, part };
    });
  });
}

function wrongRoom(roomBytes: number, byteLength: number): ConnectionError {
  return new ConnectionError(
    "protocol",
    `The master gave ${roomBytes} bytes of memory for a value of ${byteLength}`,
  );
}

const REFUSALS: ReadonlySet<number> = new Set([
  MasterError.noSegment,
  MasterError.noRoom,
  MasterError.invalid,
]);
