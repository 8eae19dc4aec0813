import { ConnectionError } from "../../protocol/index.ts";
import { type ControlOptions, askServers } from "./control-client.ts";
import { NUM_SLOTS } from "./hash-slot.ts";
import { type RedisNode, nodeName } from "./redis-url.ts";
import type { SlotMap } from "./topology.ts";

/** As CLUSTER SLOTS has it, as far as we look. */
type SlotRange = readonly [
  first: number,
  last: number,
  master: readonly [host: string | null, port: number],
];

/** @returns asks a cluster who has which slot: the nodes that the URL names, and those that it named last */
export function clusterSlots(
  seeds: readonly RedisNode[],
  options: ControlOptions,
): (signal: AbortSignal) => Promise<SlotMap> {
  let masters: readonly RedisNode[] = [];
  return async (signal) => {
    const nodes = new Map([...seeds, ...masters].map((node) => [nodeName(node), node]));
    const ranges = await askServers(
      [...nodes.values()],
      async (client, node) => readRanges(await client.cluster("SLOTS"), node),
      options,
      signal,
    );
    masters = ranges.map((range) => range.master);
    const bySlot = Array.from<RedisNode | undefined>({ length: NUM_SLOTS });
    for (const { first, last, master } of ranges) bySlot.fill(master, first, last + 1);
    return (slot) => bySlot[slot];
  };
}

interface MasterRange {
  readonly first: number;
  readonly last: number;
  readonly master: RedisNode;
}

/** @param asked whose answer it is: a node that does not know its own name leaves it out */
function readRanges(answer: unknown, asked: RedisNode): MasterRange[] {
  if (!Array.isArray(answer) || !answer.every(isSlotRange)) {
    throw new ConnectionError("protocol", "Cannot read the answer to CLUSTER SLOTS");
  }
  if (answer.length === 0) throw new ConnectionError("unavailable", "The cluster has no slots yet");
  return answer.map(([first, last, [host, port]]) => ({
    first,
    last,
    master: host ? { host, port } : { ...asked, port },
  }));
}

function isSlotRange(item: unknown): item is SlotRange {
  if (!Array.isArray(item) || !Array.isArray(item[2])) return false;
  const [first, last, [host, port]] = item as unknown[] & [unknown, unknown, unknown[]];
  const isName = host === null || typeof host === "string";
  return isName && [first, last, port].every((number) => Number.isSafeInteger(number));
}
