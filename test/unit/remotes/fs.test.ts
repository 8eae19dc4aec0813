import { truncateSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TierError, silentLogger, systemClock } from "../../../src/core/index.ts";
import { openFsRemote } from "../../../src/remotes/fs.ts";
import type { RemoteOptions } from "../../../src/remotes/index.ts";
import { remoteConformance } from "./remote-conformance.ts";

const options: RemoteOptions = {
  timeoutMs: 1_000,
  maxConnections: 4,
  logger: silentLogger,
  clock: systemClock,
  random: Math.random,
};
const call = { signal: new AbortController().signal, priority: "get" } as const;
const value = new Uint8Array(5000).fill(7);

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-fs-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

remoteConformance("fs://", async () => {
  const shared = await mkdtemp(path.join(tmpdir(), "warmkv-fs-"));
  return {
    store: openFsRemote(`fs://${shared}`, options),
    openAnother: async () => openFsRemote(`fs://${shared}`, options),
    cleanup: () => rm(shared, { recursive: true, force: true }),
  };
});

describe("fs://", () => {
  test("a value is one file of exactly its bytes, in a directory made for it", async () => {
    const made = path.join(directory, "made", "when missing");
    await using remote = openFsRemote(`fs://${made}`, options);
    await remote.put("warmkv@org-model@1@0@0123", value, call);
    expect((await stat(path.join(made, "warmkv@org-model@1@0@0123.kv"))).size).toBe(5000);
  });

  test.each([
    "../../etc/passwd",
    "/etc/passwd",
    ".hidden",
    "a/b",
    "a\0b",
    "",
    "x".repeat(300),
    "sha256-0",
  ])("no path is made from the name %j", async (name) => {
    await using remote = openFsRemote(`fs://${directory}`, options);
    expect(await remote.put(name, value, call)).toBe(true);
    expect(await remote.lookup([name], call)).toBe(1);
    const [file, ...others] = await readdir(directory);
    expect(file).toMatch(/^sha256-[0-9a-f]{64}\.kv$/);
    expect(others).toEqual([]);
    expect(await remote.remove([name], call)).toBe(1);
  });

  test("several processes see each other's values, and only whole ones", async () => {
    await using one = openFsRemote(`fs://${directory}`, options);
    await using other = openFsRemote(`fs://${directory}`, options);
    const names = Array.from({ length: 40 }, (_, index) => `name-${index}`);
    const writers = [one, other].flatMap((remote) =>
      names.map((name) => remote.put(name, value, call)),
    );
    for (const name of names) {
      const target = new Uint8Array(5000);
      const length = await other.get(name, () => target, call);
      if (length !== undefined) expect(target).toEqual(value);
    }
    expect(await Promise.all(writers)).not.toContain(false);
    expect(await one.lookup(names, call)).toBe(40);
    expect((await readdir(directory)).length).toBe(40);
  });

  test("temporary files of processes that were killed are removed, those in use are not", async () => {
    const old = path.join(directory, ".warmkv-0123456789abcdef.tmp");
    const fresh = path.join(directory, ".warmkv-1123456789abcdef.tmp");
    const foreign = path.join(directory, "notes.txt");
    for (const file of [old, fresh, foreign]) await writeFile(file, "x");
    const longAgo = Date.now() / 1000 - 2 * 60 * 60;
    for (const file of [old, foreign]) await utimes(file, longAgo, longAgo);
    await using remote = openFsRemote(`fs://${directory}`, options);
    await remote.lookup(["a"], call);
    await expect
      .poll(() => readdir(directory).then((names) => names.toSorted()))
      .toEqual([path.basename(fresh), path.basename(foreign)]);
  });

  test("a file that others cut off while it is read rejects", async () => {
    await using remote = openFsRemote(`fs://${directory}`, options);
    await remote.put("a", value, call);
    const cutOff = (length: number): Uint8Array => {
      truncateSync(path.join(directory, "a.kv"), 10);
      return new Uint8Array(length);
    };
    await expect(remote.get("a", cutOff, call)).rejects.toMatchObject({ code: "protocol" });
  });

  test("what is in the way of a value is a TierError, not a miss", async () => {
    await using remote = openFsRemote(`fs://${directory}`, options);
    await mkdir(path.join(directory, "a.kv"));
    expect(await remote.lookup(["a"], call)).toBe(0);
    const error = expect.objectContaining({ code: "unavailable" });
    await expect(remote.put("a", value, call)).rejects.toEqual(error);
    await expect(remote.get("a", () => undefined, call)).resolves.toBeUndefined();
    await expect(remote.remove(["a"], call)).rejects.toBeInstanceOf(TierError);
    expect(await readdir(directory)).toEqual(["a.kv"]);
  });

  test("a directory that cannot be made is a TierError, until it can", async () => {
    const inTheWay = path.join(directory, "mount");
    await writeFile(inTheWay, "");
    await using remote = openFsRemote(`fs://${inTheWay}/kv`, options);
    const looking = remote.lookup(["a"], call);
    await expect(looking).rejects.toMatchObject({ name: "TierError", code: "unavailable" });
    await rm(inTheWay);
    expect(await remote.put("a", value, call)).toBe(true);
    expect(await remote.lookup(["a"], call)).toBe(1);
    await remote[Symbol.asyncDispose]();
    await expect(remote.lookup(["a"], call)).rejects.toMatchObject({ code: "closed" });
  });

  test("LMCache's form with a host and a port is understood", async () => {
    await using remote = openFsRemote(`fs://host:0${directory}`, options);
    expect(remote.address).toBe(`fs://${directory}`);
  });

  test.each(["fs://", "fs://shared/kv", "fs:///", "fs:///kv?x=1", "fs://host:0"])(
    "%s names no directory",
    (url) => {
      expect(() => openFsRemote(url, options)).toThrow(/^Cannot use "fs:.*": wanted an abs/);
    },
  );
});
