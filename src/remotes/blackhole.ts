import type { RemoteStore } from "./remote-store.ts";

/** `blackhole://`: takes everything and has nothing. For measuring what the way to a remote costs. */
export function openBlackholeRemote(): RemoteStore {
  return {
    address: "blackhole://",
    lookup: async () => 0,
    get: async () => undefined,
    put: async () => true,
    remove: async () => 0,
    async [Symbol.asyncDispose]() {},
  };
}
