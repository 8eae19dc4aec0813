import {
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CacheDirectory } from "../../../src/cli/cache-directory.ts";
import { type Finding, type VerifyReport, verifyDirectory } from "../../../src/cli/cache-verify.ts";
import { MiB, UsageError } from "../../../src/core/index.ts";
import { DiskTier, LruPolicy } from "../../../src/tiers/index.ts";
import { SLAB_BYTES, makePool, promptChunks, storeChunks } from "../tiers/chunk-fixtures.ts";

const NUM_CHUNKS = 40;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-cache-directory-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function fill(modelName = "org/model", numChunks = NUM_CHUNKS, seed = 1): Promise<void> {
  const pool = makePool(2 * numChunks);
  await using tier = await DiskTier.open({
    paths: [directory],
    maxSizeBytes: 16 * MiB,
    pool,
    policy: new LruPolicy(),
    modelName,
  });
  await storeChunks(tier, pool, promptChunks(seed, numChunks));
}

async function chunkPaths(): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".kv"));
  return names.toSorted().map((name) => path.join(directory, name));
}

async function verify(mustDelete = false): Promise<VerifyReport> {
  return verifyDirectory(await CacheDirectory.open([directory]), {
    mustDelete,
    onProgress: () => {},
    onFinding: () => {},
  });
}

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file);
  bytes[at]! ^= 1;
  await writeFile(file, bytes);
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("CacheDirectory", () => {
  it("lists the chunks that a disk tier has written, with what their headers say", async () => {
    await fill();
    const opened = await CacheDirectory.open([directory]);
    const chunks = await collect(opened.inspectedChunks());
    const expected = promptChunks(1, NUM_CHUNKS);
    expect(chunks.map(({ chunk }) => chunk.key).toSorted()).toEqual(
      expected.map(({ key }) => key).toSorted(),
    );
    for (const { chunk, header, fileBytes } of chunks) {
      const { start, end } = expected.find(({ key }) => key === chunk.key)!;
      expect([chunk.model, fileBytes]).toEqual(["org-model", SLAB_BYTES]);
      expect(header).toMatchObject({ start, end, kind: "tokens" });
    }
  });

  it("tells other files from chunks, and leaves directories out", async () => {
    await fill("org/model", 2);
    await writeFile(path.join(directory, "notes.txt"), "mine");
    await mkdir(path.join(directory, "below"));
    const opened = await CacheDirectory.open([directory]);
    const files = await collect(opened.files());
    expect(files).toHaveLength(3);
    const others = files.filter(({ chunk }) => chunk === undefined);
    expect(others.map((file) => path.basename(file.path))).toEqual(["notes.txt"]);
  });

  it("counts a directory that is named twice once", async () => {
    await fill("org/model", 2);
    const opened = await CacheDirectory.open([directory, `${directory}/.`]);
    expect(await collect(opened.chunks())).toHaveLength(2);
  });

  it("clear() removes chunks of all models and nothing else", async () => {
    await fill("org/model", 3, 1);
    await fill("another", 4, 2);
    await writeFile(path.join(directory, "notes.txt"), "mine");
    const opened = await CacheDirectory.open([directory]);
    expect(await opened.clear()).toEqual({ numChunks: 7, numBytes: 7 * SLAB_BYTES });
    expect(await readdir(directory)).toEqual(["notes.txt"]);
  });

  it.each(["/no/such/directory", "/etc/passwd"])("open() refuses %s", async (name) => {
    await expect(CacheDirectory.open([name])).rejects.toThrow(UsageError);
    await expect(CacheDirectory.open([name])).rejects.toThrow(`Cannot read --dir "${name}"`);
  });
});

describe("verifyDirectory()", () => {
  it("finds nothing wrong with what a disk tier has written", async () => {
    await fill();
    expect(await verify()).toEqual({
      numChunks: NUM_CHUNKS,
      numBytes: NUM_CHUNKS * SLAB_BYTES,
      numDamaged: 0,
      numRemoved: 0,
      numUnreadable: 0,
      findings: [],
    });
  });

  it.each<[string, (file: string, other: string) => Promise<void>, string]>([
    ["a flipped bit in the payload", (file) => flip(file, 4096 + 1999), "another checksum"],
    ["a flipped bit in the header", (file) => flip(file, 60), "no whole header"],
    ["a file that is cut off", (file) => truncate(file, 4096), "another size"],
    ["an empty file", (file) => truncate(file, 0), "no whole header"],
    ["another chunk's file", (file, other) => copyFile(other, file), "another key"],
    ["a foreign file", (file) => writeFile(file, "x".repeat(SLAB_BYTES)), "no whole header"],
  ])("finds %s", async (_, damage, reason) => {
    await fill();
    const [file, other] = await chunkPaths();
    await damage(file!, other!);
    const { numChunks, numDamaged, numRemoved, findings } = await verify();
    expect([numChunks, numDamaged, numRemoved]).toEqual([NUM_CHUNKS, 1, 0]);
    expect(findings).toEqual([
      { path: file, reason: expect.stringContaining(reason) as string, isRemoved: false },
    ]);
    expect(await chunkPaths()).toHaveLength(NUM_CHUNKS);
  });

  it("does not mind a flipped bit behind the payload", async () => {
    await fill();
    await flip((await chunkPaths())[0]!, SLAB_BYTES - 1);
    expect((await verify()).numDamaged).toBe(0);
  });

  it("removes what is damaged, and only that, when it is told to", async () => {
    await fill();
    const [file, ...others] = await chunkPaths();
    await flip(file!, 5000);
    const { numDamaged, numRemoved, findings } = await verify(true);
    expect([numDamaged, numRemoved, findings[0]!.isRemoved]).toEqual([1, 1, true]);
    expect(await chunkPaths()).toEqual(others);
    expect((await verify(true)).numDamaged).toBe(0);
  });

  it("takes a file that vanishes while it is looked at for evicted", async () => {
    await fill();
    const [file] = await chunkPaths();
    await flip(file!, 5000);
    const opened = await CacheDirectory.open([directory]);
    const refresh = opened.refresh.bind(opened);
    opened.refresh = async (found) => {
      await rm(found.path);
      return refresh(found);
    };
    const findings: Finding[] = [];
    const report = await verifyDirectory(opened, {
      mustDelete: true,
      onProgress: () => {},
      onFinding: (finding) => void findings.push(finding),
    });
    expect([report.numChunks, report.numDamaged, findings]).toEqual([NUM_CHUNKS - 1, 0, []]);
  });

  it("takes a file that is replaced by a whole one for whole", async () => {
    await fill();
    const [file] = await chunkPaths();
    const whole = await readFile(file!);
    await flip(file!, 5000);
    const opened = await CacheDirectory.open([directory]);
    const refresh = opened.refresh.bind(opened);
    opened.refresh = async (found) => {
      await writeFile(found.path, whole);
      return refresh(found);
    };
    const report = await verifyDirectory(opened, {
      mustDelete: true,
      onProgress: () => {},
      onFinding: () => {},
    });
    expect([report.numChunks, report.numDamaged]).toEqual([NUM_CHUNKS, 0]);
  });

  it("never removes what it cannot read", async () => {
    await fill();
    const opened = await CacheDirectory.open([directory]);
    opened.read = () => Promise.reject(Object.assign(new Error("EIO: i/o error"), { errno: -5 }));
    const report = await verifyDirectory(opened, {
      mustDelete: true,
      onProgress: () => {},
      onFinding: () => {},
    });
    expect([report.numUnreadable, report.numDamaged]).toEqual([NUM_CHUNKS, 0]);
    expect(report.findings[0]!.reason).toBe("it cannot be read: EIO: i/o error");
    expect(await chunkPaths()).toHaveLength(NUM_CHUNKS);
  });
});
