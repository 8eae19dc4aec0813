import { ConnectionError } from "../../protocol/index.ts";
import { type ControlOptions, askServers } from "./control-client.ts";
import type { RedisNode } from "./redis-url.ts";
import type { SlotMap } from "./topology.ts";

/** @returns asks the sentinels for the master's address */
export function sentinelMaster(
  sentinels: readonly RedisNode[],
  masterName: string,
  options: ControlOptions,
): (signal: AbortSignal) => Promise<SlotMap> {
  return async (signal) => {
    const master = await askServers(
      sentinels,
      async (client) => {
        const answer = await client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName);
        if (Array.isArray(answer)) return answer as [host: string, port: string];
        throw new ConnectionError("unavailable", `The sentinels know no master "${masterName}"`);
      },
      options,
      signal,
    );
    const node = { host: master[0], port: Number(master[1]) };
    return () => node;
  };
}
