import { MiB } from "../core/index.ts";
import { median } from "./statistics.ts";
import { TcpFloor } from "./tcp-floor.ts";

const NUM_ROUNDS = 9;

export interface PlainTransfersOptions {
  /** Connections at a time: as many as the remote tier has. */
  readonly numConnections: number;
}

/** Milliseconds that so many bytes take from another Node process over the loopback's TCP, by the MiB. Median. */
export async function timePlainTransfers(
  { numConnections }: PlainTransfersOptions,
  numBytes: number,
  signal: AbortSignal,
): Promise<number> {
  await using floor = await TcpFloor.start(numConnections, signal);
  const target = Buffer.alloc(numBytes, 1);
  const timesMs: number[] = [];
  for (let round = 0; round < NUM_ROUNDS; round++) {
    const startMs = performance.now();
    let next = 0;
    const work = async (lane: number): Promise<void> => {
      while (next < numBytes) {
        const start = next;
        next += MiB;
        await floor.get(lane, target.subarray(start, next));
      }
    };
    await Promise.all(Array.from({ length: numConnections }, (_, lane) => work(lane)));
    timesMs.push(performance.now() - startMs);
  }
  return median(timesMs);
}
