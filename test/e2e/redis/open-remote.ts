import { silentLogger, systemClock } from "../../../src/core/index.ts";
import type { RemoteCall, RemotePriority, RemoteStore } from "../../../src/remotes/index.ts";
import { type RedisRemoteOptions, openRedisRemote } from "../../../src/remotes/redis/index.ts";

export function openRemote(url: string, options: Partial<RedisRemoteOptions> = {}): RemoteStore {
  return openRedisRemote(url, {
    timeoutMs: 5000,
    maxConnections: 4,
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
    ...options,
  });
}

export function callWithin(timeoutMs = 10_000, priority: RemotePriority = "get"): RemoteCall {
  return { signal: AbortSignal.timeout(timeoutMs), priority };
}

/** Whether the store gives exactly these bytes; undefined: it has none by that name. */
export async function holds(
  store: RemoteStore,
  name: string,
  value: Uint8Array,
  call: RemoteCall = callWithin(),
): Promise<boolean | undefined> {
  let target = Buffer.alloc(0);
  const allocate = (byteLength: number): Buffer => (target = Buffer.alloc(byteLength));
  const numBytes = await store.get(name, allocate, call);
  return numBytes === undefined ? undefined : target.equals(value);
}
