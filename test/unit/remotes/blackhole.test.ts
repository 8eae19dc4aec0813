import { expect, test } from "vitest";
import { openBlackholeRemote } from "../../../src/remotes/blackhole.ts";

test("blackhole:// takes everything and has nothing", async () => {
  await using remote = openBlackholeRemote();
  const call = { signal: new AbortController().signal, priority: "get" } as const;
  expect(await remote.put("a", new Uint8Array(8), call)).toBe(true);
  expect(await remote.lookup(["a"], call)).toBe(0);
  expect(await remote.get("a", (length) => new Uint8Array(length), call)).toBeUndefined();
  expect(await remote.remove(["a"], call)).toBe(0);
});
