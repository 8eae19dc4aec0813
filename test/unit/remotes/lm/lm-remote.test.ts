import { describe, expect, test } from "vitest";
import { openCacheServer } from "../../../../src/cache-server/index.ts";
import { LM_COMMANDS, LM_EXTENSIONS } from "../../../../src/protocol/index.ts";
import { openLmRemote } from "../../../../src/remotes/lm/index.ts";
import { lmKeyOf } from "../../../../src/remotes/lm/lm-name.ts";
import type { RemoteCall } from "../../../../src/remotes/remote-store.ts";
import { patternBytes } from "../../protocol/peer.ts";
import { getValue, remoteConformance } from "../remote-conformance.ts";
import { lmOptions } from "./lm-options.ts";
import { LmcacheServer } from "./lmcache-server.ts";

const call: RemoteCall = { signal: new AbortController().signal, priority: "get" };
const failed = (code: string) => expect.objectContaining({ name: "TierError", code });

const openOwn = (authToken?: string) =>
  openCacheServer({
    port: 0,
    maxLocalCpuSizeBytes: 192 * 2 ** 20,
    cachePolicy: "LRU",
    localDiskPaths: [],
    maxLocalDiskSizeBytes: 0,
    authToken,
  });

remoteConformance(
  "lm:// with a cache server of ours",
  async () => {
    const server = await openOwn();
    return {
      store: openLmRemote(server.url, lmOptions),
      openAnother: async () => openLmRemote(server.url, lmOptions),
      cleanup: () => server[Symbol.asyncDispose](),
    };
  },
  { canClaim: true },
);

remoteConformance(
  "lm:// with three servers of LMCache's",
  async () => {
    const servers = await Promise.all([1, 2, 3].map(() => LmcacheServer.listen()));
    const url = `lm://${servers.map(({ host }) => host).join(",")}`;
    return {
      store: openLmRemote(url, lmOptions),
      openAnother: async () => openLmRemote(url, lmOptions),
      cleanup: async () => {
        for (const server of servers) await server[Symbol.asyncDispose]();
      },
    };
  },
  { canRemove: false, numRuns: 3 },
);

describe("LmRemote", () => {
  test.each([
    ["ignores", "current"],
    ["closes", "current"],
    ["ignores", "2025"],
    ["ignores", "2024"],
  ] as const)(
    "uses a server that %s what it does not know, of the form %s",
    async (manners, form) => {
      await using server = await LmcacheServer.listen(manners, form);
      const query = form === "current" ? "" : `?form=${form}`;
      await using remote = openLmRemote(`lm://${server.host}${query}`, lmOptions);
      const value = patternBytes(5_000_000);
      expect(await remote.put("a", value, call)).toBe(true);
      expect(await remote.lookup(["a", "b"], call)).toBe(1);
      expect((await getValue(remote, "a"))?.equals(value)).toBe(true);
      expect(await getValue(remote, "b")).toBeUndefined();
      expect(await remote.remove(["a"], call)).toBe(0);
      const ownCommands = server.commands.filter((command) => command > 5);
      expect(new Set(ownCommands)).toEqual(new Set(query ? [] : [LM_EXTENSIONS.hello]));
    },
  );

  test("stores what LMCache's engines can read: keys of their shape, bytes of their types", async () => {
    await using server = await LmcacheServer.listen();
    await using remote = openLmRemote(`lm://${server.host}`, lmOptions);
    const theirs = "meta-llama/Llama-3.1-8B@1@0@5f05dec65811b7cc@bfloat16";
    const ours = "0123456789abcdef0123456789abcdef";
    for (const name of [theirs, ours, "any text"]) await remote.put(name, patternBytes(7), call);
    const [first, second, third] = [...server.values.keys()];
    expect([first, second]).toEqual([theirs, `warmkv@1@0@${ours}@uint8`]);
    expect(third).toMatch(/^warmkv@1@1@[0-9a-f]{32}@uint8$/);
    expect(server.values.get(third!)!.request).toMatchObject({
      command: LM_COMMANDS.put,
      format: 5,
      dtype: 6,
      shape: [7, 0, 0, 0],
    });
  });

  test("a lookup of a whole prompt is one exchange, and no value is sent twice", async () => {
    await using server = await openOwn();
    await using remote = openLmRemote(server.url, lmOptions);
    const names = Array.from({ length: 500 }, (_, index) => `chunk-${index}`);
    await remote.put(names[0]!, patternBytes(6 * 2 ** 20), call);
    const before = structuredClone(server.stats());
    expect(await remote.lookup(names, call)).toBe(1);
    expect(await remote.put(names[0]!, patternBytes(6 * 2 ** 20), call)).toBe(true);
    const { numRequests, receivedBytes } = server.stats();
    expect(numRequests.lookup - before.numRequests.lookup).toBe(1);
    expect(receivedBytes).toBe(before.receivedBytes);
  });

  test("the token is proved; a wrong one and none are refused", async () => {
    await using server = await openOwn("right");
    const address = server.url.slice("lm://".length);
    for (const remote of [
      openLmRemote(`lm://right@${address}`, lmOptions),
      openLmRemote(`lm://user:right@${address}`, lmOptions),
      openLmRemote(server.url, { ...lmOptions, token: "right" }),
    ]) {
      await using opened = remote;
      expect(opened.address).toBe(server.url);
      expect(await opened.put("a", patternBytes(100), call)).toBe(true);
      expect(await opened.lookup(["a"], call)).toBe(1);
    }
    for (const token of [undefined, "wrong"]) {
      await using remote = openLmRemote(server.url, { ...lmOptions, token });
      await expect(remote.lookup(["a"], call)).rejects.toEqual(failed("unauthorized"));
    }
  });

  test("each key has its server, whatever the order of the hosts", async () => {
    const servers = await Promise.all([1, 2, 3].map(() => LmcacheServer.listen()));
    const hosts = servers.map(({ host }) => host);
    await using remote = openLmRemote(`lm://${hosts.join(",")}`, lmOptions);
    await using reversed = openLmRemote(`lm://${hosts.toReversed().join(",")}`, lmOptions);
    const names = Array.from({ length: 300 }, (_, index) => `chunk-${index}`);
    for (const name of names) await remote.put(name, patternBytes(10), call);
    for (const { values } of servers) expect(values.size).toBeGreaterThan(50);
    expect(await reversed.lookup(names, call)).toBe(300);
    for (const server of servers) await server[Symbol.asyncDispose]();
  });

  test("a dead host costs its share and nothing else, and comes back by itself", async () => {
    let nowMs = 0;
    const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
    const servers = await Promise.all([1, 2, 3].map(() => LmcacheServer.listen()));
    const url = `lm://${servers.map(({ host }) => host).join(",")}`;
    const said: string[] = [];
    const say = (sentence: string): void => void said.push(sentence);
    const logger = { ...lmOptions.logger, warn: say, info: say };
    await using remote = openLmRemote(url, { ...lmOptions, clock, logger });
    const names = Array.from({ length: 60 }, (_, index) => `chunk-${index}`);
    const value = patternBytes(1000);
    for (const name of names) await remote.put(name, value, call);
    const dead = servers[1]!;
    const { port, values } = dead;
    const lost = names.filter((name) => values.has(lmKeyOf(name, "current")));
    const kept = names.filter((name) => !values.has(lmKeyOf(name, "current")));
    await dead[Symbol.asyncDispose]();

    expect(await remote.lookup(names, call)).toBe(names.indexOf(lost[0]!));
    expect(await remote.lookup(kept, call)).toBe(kept.length);
    for (const name of kept) expect((await getValue(remote, name))?.equals(value)).toBe(true);
    for (const name of lost) expect(await getValue(remote, name)).toBeUndefined();
    expect(await remote.put(lost[0]!, value, call)).toBe(false);
    expect(said).toHaveLength(1);

    await using back = await LmcacheServer.listen("ignores", "current", port);
    nowMs += 60_000;
    await expect.poll(() => remote.put(lost[0]!, value, call)).toBe(true);
    expect(back.values.size).toBe(1);
    expect(said).toHaveLength(2);
    for (const server of servers) await server[Symbol.asyncDispose]();
    await back[Symbol.asyncDispose]();
    await expect(async () => {
      for (const name of names) await remote.lookup([name], call);
    }).rejects.toEqual(failed("unavailable"));
  });

  test("a server that is restarted is used again without a word", async () => {
    const first = await LmcacheServer.listen();
    const { port, host } = first;
    await using remote = openLmRemote(`lm://${host}`, lmOptions);
    await remote.put("a", patternBytes(100), call);
    await first[Symbol.asyncDispose]();
    await using second = await LmcacheServer.listen("ignores", "current", port);
    expect(await remote.put("b", patternBytes(100), call)).toBe(true);
    expect(second.values.size).toBe(1);
  });

  test("a lost server rejects, then fails at once, then is found again", async () => {
    let nowMs = 0;
    const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
    const first = await LmcacheServer.listen();
    const { port, host } = first;
    await using remote = openLmRemote(`lm://${host}`, { ...lmOptions, clock });
    await first[Symbol.asyncDispose]();
    await expect(remote.lookup(["a"], call)).rejects.toEqual(failed("unavailable"));
    await using second = await LmcacheServer.listen("ignores", "current", port);
    await expect(remote.lookup(["a"], call)).rejects.toEqual(failed("unavailable"));
    expect(second.numConnections).toBe(0);
    nowMs += 100;
    expect(await remote.lookup(["a"], call)).toBe(0);
  });

  test("nothing is left open when it is closed", async () => {
    await using server = await LmcacheServer.listen();
    const remote = openLmRemote(`lm://${server.host}`, lmOptions);
    await Promise.all([1, 2, 3, 4].map((index) => remote.put(`${index}`, patternBytes(9), call)));
    expect(server.numOpen).toBeGreaterThan(0);
    await remote[Symbol.asyncDispose]();
    await expect.poll(() => server.numOpen).toBe(0);
  });
});
