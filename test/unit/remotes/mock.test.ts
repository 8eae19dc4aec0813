import { describe, expect, test } from "vitest";
import type { RemoteStore } from "../../../src/remotes/index.ts";
import { type MockRemote, openMockRemote } from "../../../src/remotes/mock.ts";
import { remoteConformance } from "./remote-conformance.ts";

const call = { signal: new AbortController().signal, priority: "get" } as const;
const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(7);

const openShared = async (): Promise<{
  store: MockRemote;
  openAnother: () => Promise<RemoteStore>;
}> => {
  const store = openMockRemote("mock://1");
  const another: RemoteStore = {
    address: store.address,
    lookup: (names, each) => store.lookup(names, each),
    get: (name, allocate, each) => store.get(name, allocate, each),
    put: (name, bytes, each) => store.put(name, bytes, each),
    remove: (names, each) => store.remove(names, each),
    claim: (names, claim, each) => store.claim(names, claim, each),
    release: (names, owner, each) => store.release(names, owner, each),
    async [Symbol.asyncDispose]() {},
  };
  return { store, openAnother: async () => another };
};

remoteConformance("mock://", openShared, { canClaim: true });

describe("mock://", () => {
  test("keeps copies: what the caller does with its memory afterwards changes nothing", async () => {
    await using remote = openMockRemote("mock://");
    const value = bytes(8);
    await remote.put("a", value, call);
    value.fill(0);
    const target = new Uint8Array(8);
    expect(await remote.get("a", () => target, call)).toBe(8);
    expect(target).toEqual(bytes(8));
  });

  test("is bounded: the oldest values go first, and what can never fit is refused", async () => {
    await using remote = openMockRemote("mock://0.000001");
    for (const name of ["a", "b", "c"]) expect(await remote.put(name, bytes(500), call)).toBe(true);
    expect(await remote.lookup(["a"], call)).toBe(0);
    expect(await remote.lookup(["b", "c"], call)).toBe(2);
    expect(await remote.put("d", bytes(2000), call)).toBe(false);
    expect(await remote.lookup(["b", "c"], call)).toBe(2);
  });

  test.each([
    "mock://abc",
    "mock://0",
    "mock://-1",
    "mock://1/path",
    "mock://1?latency_ms=soon",
    "mock://1?latency_ms=",
    "mock://1?read_throughput=0",
  ])("%s is refused by a sentence", (url) => {
    expect(() => openMockRemote(url)).toThrow(/^Cannot use "mock:.*": wanted .*, such as mock:/);
  });

  test.each([
    ["mock://1?latency_ms=5&bandwidth_gbps=8", 5 + 1],
    ["mock://1/?peeking_latency=5&read_throughput=2&write_throughput=0.5", 5 + 2],
  ])("%s takes its time to put a megabyte", async (url, durationMs) => {
    await using remote = openMockRemote(url);
    const startedMs = performance.now();
    await remote.put("a", bytes(1e6), call);
    // Timers may be early by one.
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(durationMs - 1.5);
  });

  test("an abort ends a call that is on its way", async () => {
    await using remote = openMockRemote("mock://1?latency_ms=60000");
    const abort = new AbortController();
    const looking = remote.lookup(["a"], { signal: abort.signal, priority: "lookup" });
    abort.abort();
    await expect(looking).rejects.toThrow();
  });
});
