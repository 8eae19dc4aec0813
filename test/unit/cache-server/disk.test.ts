import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CacheServer } from "../../../src/cache-server/index.ts";
import { KiB, MiB } from "../../../src/core/index.ts";
import { TYPE, frame, putFrame } from "./raw-client.ts";
import { TestServers } from "./test-servers.ts";

describe("CacheServer with a disk", () => {
  const servers = new TestServers();
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "warmkv-cache-server-"));
  });
  afterEach(async () => {
    await servers.close();
    await rm(directory, { recursive: true });
  });

  function open(): Promise<CacheServer> {
    return servers.open({ localDiskPaths: [directory], maxLocalDiskSizeBytes: 8 * MiB });
  }

  const value = (index: number): Buffer => Buffer.alloc(100 * KiB + index, index);

  async function fill(server: CacheServer, numValues: number): Promise<void> {
    const client = await servers.client(server);
    for (let index = 0; index < numValues; index++) {
      await client.send(putFrame(`k${index}`, value(index)));
      await client.ask(frame("exist", `k${index}`));
      // The disk may fall behind by a quarter of the RAM.
      if (index % 5 === 4) await server.flush();
    }
    await server.flush();
  }

  test("serves from disk what RAM has no room for", async () => {
    const server = await open();
    await fill(server, 60);
    expect(server.stats().tiers["LocalCPUBackend"]!.numEvicted).toBeGreaterThan(10);
    const client = await servers.client(server);
    for (let index = 0; index < 60; index++) {
      const { head, body } = await client.ask(frame("get", `k${index}`));
      expect(head).toMatchObject({ code: 200, ...TYPE });
      expect(body.equals(value(index))).toBe(true);
    }
  });

  test("finds its values again after a restart, names included", async () => {
    const first = await open();
    await fill(first, 10);
    await first.close(0);
    const client = await servers.client(await open());
    const { body } = await client.ask(frame("list", ""));
    expect(body.toString().split("\n").toSorted()).toEqual(
      Array.from({ length: 10 }, (_, index) => `k${index}`),
    );
    expect((await client.ask(frame("get", "k7"))).body.equals(value(7))).toBe(true);
  });

  test("replaces a value on disk too", async () => {
    const first = await open();
    await fill(first, 2);
    await first.close(0);
    const second = await open();
    const client = await servers.client(second);
    await client.send(putFrame("k1", Buffer.from("new")));
    await client.ask(frame("exist", "k1"));
    await second.close(0);
    const other = await servers.client(await open());
    expect((await other.ask(frame("get", "k1"))).body.toString()).toBe("new");
  });

  test("a damaged file is a miss", async () => {
    const first = await open();
    await fill(first, 1);
    await first.close(0);
    const [file] = (await readdir(directory)).filter((name) => name.endsWith(".kv"));
    const bytes = await readFile(path.join(directory, file!));
    bytes[50 * KiB]! ^= 1;
    await writeFile(path.join(directory, file!), bytes);
    const client = await servers.client(await open());
    expect((await client.ask(frame("get", "k0"))).head.code).toBe(400);
    expect((await client.ask(frame("exist", "k0"))).head.code).toBe(400);
  });

  test("names of values never become names of files", async () => {
    const server = await open();
    const client = await servers.client(server);
    const names = ["../../etc/passwd", "/etc/passwd", "a/b", "..", "x\0y"];
    for (const name of names) await client.send(putFrame(name, Buffer.from(name)));
    await client.ask(frame("health", ""));
    await server.flush();
    const files = (await readdir(directory)).filter((file) => !file.startsWith("."));
    expect(files).toHaveLength(names.length);
    for (const file of files) expect(file).toMatch(/^warmkv@cache-server@1@0@[0-9a-f]{32}\.kv$/);
    for (const name of names) {
      expect((await client.ask(frame("get", name))).body.toString()).toBe(name);
    }
  });
});
