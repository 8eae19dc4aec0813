import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runCli } from "../../src/cli/program.ts";
import { type RunningServer, serve } from "../../src/server/index.ts";
import { type CacheApp, makeApp, makeCacheApp } from "../unit/server/cache-app.ts";

const CPU = "LocalCPUBackend";
const DISK = "LocalDiskBackend";
const TEXT = "a prompt of seventy letters, which is more than four chunks of sixteen";
const NUM_TOKENS = TEXT.length + 1;
const CHAT = [{ role: "user", content: "a question that is longer than one chunk" }];

let fixture: CacheApp;
let server: RunningServer;
let files: string;
let stdout = "";
let stderr = "";

beforeEach(async () => {
  files = await mkdtemp(path.join(tmpdir(), "warmkv-cache-cli-"));
  fixture = await makeCacheApp({ app: { apiKeys: ["secret"] } });
  server = await serve(fixture.app, { host: "127.0.0.1", port: 0 });
  vi.stubEnv("VLLM_API_KEY", "secret");
  vi.spyOn(process.stdout, "write").mockImplementation((text) => Boolean((stdout += String(text))));
  vi.spyOn(console, "log").mockImplementation((text) => void (stdout += `${String(text)}\n`));
  vi.spyOn(console, "error").mockImplementation((text) => void (stderr += `${String(text)}\n`));
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
  await fixture[Symbol.asyncDispose]();
  await rm(files, { recursive: true, force: true });
});

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function warmkvCache(...argv: string[]): Promise<Outcome> {
  stdout = "";
  stderr = "";
  const exitCode = await runCli(["cache", ...argv]);
  return { exitCode, stdout, stderr };
}

/** On the server. */
function online(name: string, ...argv: string[]): Promise<Outcome> {
  return warmkvCache(name, "--url", server.url, ...argv);
}

/** On the directory of the server's disk tier. */
function offline(name: string, ...argv: string[]): Promise<Outcome> {
  return warmkvCache(name, "--dir", fixture.directory, ...argv);
}

async function chunkNames(): Promise<string[]> {
  return (await readdir(fixture.directory)).filter((name) => name.endsWith(".kv"));
}

async function damageOne(): Promise<string> {
  const file = path.join(fixture.directory, (await chunkNames())[0]!);
  const bytes = await readFile(file);
  bytes[4100]! ^= 1;
  await writeFile(file, bytes);
  return file;
}

describe("warmkv cache with a server", () => {
  it("stats shows levels and counters", async () => {
    await fixture.store(TEXT);
    const { exitCode, stdout: table } = await online("stats");
    expect(exitCode).toBe(0);
    const [head, cpu, disk, pool] = table.split("\n");
    expect(head).toMatch(/^TIER +CHUNKS +USED +CAPACITY +HITS +MISSES +STORED/);
    expect(cpu).toMatch(/^LocalCPUBackend +5 +40\.00 KiB +512\.00 KiB /);
    expect(disk).toMatch(/^LocalDiskBackend +5 +40\.00 KiB +16\.00 MiB /);
    expect(pool).toBe(
      "Pool: 40.00 KiB of 512.00 KiB in use; 0 chunks pinned; 16 tokens in a chunk",
    );
    const json = JSON.parse((await online("stats", "--json")).stdout);
    expect(json.tiers[DISK].num_stored).toBe(5);
  });

  it("ls shows how much is in each tier", async () => {
    await fixture.store(TEXT);
    expect((await online("ls")).stdout.split("\n")).toEqual([
      "TIER              CHUNKS       USED",
      "LocalCPUBackend        5  40.00 KiB",
      "LocalDiskBackend       5  40.00 KiB",
      "",
    ]);
    expect(JSON.parse((await online("ls", "--json")).stdout)[CPU]).toEqual({
      num_chunks: 5,
      used_bytes: 40_960,
    });
  });

  it("prefetch brings a prompt from disk into CPU RAM", async () => {
    await fixture.store(TEXT);
    await online("clear", "--tier", CPU);
    const { exitCode, stdout: said } = await online("prefetch", "--prompt", TEXT);
    expect([exitCode, said]).toEqual([
      0,
      `${NUM_TOKENS} of ${NUM_TOKENS} tokens stored, ${NUM_TOKENS} not in CPU RAM\n` +
        `Brought ${NUM_TOKENS} of ${NUM_TOKENS}\n`,
    ]);
    const found = JSON.parse((await online("lookup", "--prompt", TEXT, "--json")).stdout);
    expect(found.tiers[CPU]).toBe(NUM_TOKENS);
  });

  it("prefetch takes a file, messages and token ids, and need not wait", async () => {
    await fixture.store(TEXT);
    await writeFile(path.join(files, "prompt.txt"), TEXT);
    await writeFile(path.join(files, "chat.json"), JSON.stringify(CHAT));
    const ids = Array.from(await fixture.engine.tokenize(TEXT, { addSpecial: true }));
    await writeFile(path.join(files, "ids.json"), JSON.stringify(ids));
    for (const [flag, name, numHits] of [
      ["--file", "prompt.txt", NUM_TOKENS],
      ["--tokens", "ids.json", NUM_TOKENS],
      ["--messages", "chat.json", 0],
    ] as const) {
      const file = path.join(files, name);
      const { stdout: text } = await online("prefetch", flag, file, "--no-wait", "--json");
      expect(JSON.parse(text)).toMatchObject({ status: "running", hit_tokens: numHits });
    }
  });

  it("prefetch waits longer than the server lets it", async () => {
    await server[Symbol.asyncDispose]();
    const impatient = makeApp(fixture.engine, fixture.cache, {
      maxWaitMs: 1,
      app: { apiKeys: ["secret"] },
    });
    server = await serve(impatient, { host: "127.0.0.1", port: 0 });
    await fixture.store(TEXT);
    let numAsked = 0;
    let finish = (): void => {};
    fixture.cache.prefetch = () => new Promise((resolve) => (finish = () => resolve(NUM_TOKENS)));
    const passOn = globalThis.fetch;
    vi.spyOn(globalThis, "fetch").mockImplementation((...args) => {
      if (++numAsked === 3) finish();
      return passOn(...args);
    });
    const { exitCode, stdout: text } = await online("prefetch", "--prompt", TEXT, "--json");
    expect([exitCode, JSON.parse(text).status]).toEqual([0, "done"]);
    expect(numAsked).toBeGreaterThanOrEqual(3);
  });

  it("lookup, pin, unpin and move do what they say", async () => {
    await fixture.store(TEXT);
    expect((await online("lookup", "--prompt", TEXT)).stdout).toBe(
      `${NUM_TOKENS} of ${NUM_TOKENS} tokens stored\n${CPU}: ${NUM_TOKENS}\n${DISK}: ${NUM_TOKENS}\n`,
    );
    expect((await online("pin", "--prompt", TEXT, "--ttl", "60")).stdout).toBe(
      `Pinned ${NUM_TOKENS} of ${NUM_TOKENS} tokens\n`,
    );
    expect((await online("unpin", "--prompt", TEXT)).stdout).toBe("Unpinned\n");
    expect((await online("unpin", "--prompt", TEXT)).stdout).toBe("This prompt was not pinned\n");
    await online("clear", "--tier", DISK);
    const direction = ["--from", CPU, "--to", DISK];
    expect((await online("move", "--prompt", TEXT, ...direction)).stdout).toBe(
      `${DISK} holds ${NUM_TOKENS} of ${NUM_TOKENS} tokens\n`,
    );
    expect(fixture.cache.stats().tiers[CPU]!.numChunks).toBe(0);
  });

  it("clear drops everything, a tier or a prompt, and says what went", async () => {
    await fixture.store(TEXT);
    await fixture.store("another prompt");
    expect((await online("clear", "--prompt", "another prompt")).stdout).toBe(
      `Removed 1 chunk from ${CPU}\nRemoved 1 chunk from ${DISK}\n`,
    );
    expect((await online("clear", "--tier", CPU)).stdout).toBe(`Removed 5 chunks from ${CPU}\n`);
    expect((await online("clear")).stdout).toBe(
      `Removed 0 chunks from ${CPU}\nRemoved 5 chunks from ${DISK}\n`,
    );
    expect(await chunkNames()).toEqual([]);
  });

  it("a tier that is not there is bad usage, a missing key a failure", async () => {
    const wrong = await online("clear", "--tier", "GpuBackend");
    expect([wrong.exitCode, wrong.stderr]).toEqual([
      2,
      `error: Invalid 'tier': expected one of ${CPU}, ${DISK}, got "GpuBackend"\n`,
    ]);
    vi.stubEnv("VLLM_API_KEY", "wrong");
    const locked = await online("stats");
    expect([locked.exitCode, locked.stderr]).toEqual([
      1,
      expect.stringContaining("answered 401: Missing or incorrect API key"),
    ]);
  });

  it("says when caching is off", async () => {
    const off = makeApp(fixture.engine, undefined);
    await using other = await serve(off, { host: "127.0.0.1", port: 0 });
    const { exitCode, stderr: said } = await warmkvCache("stats", "--url", other.url);
    expect([exitCode, said]).toEqual([1, expect.stringContaining("KV caching is off")]);
  });
});

describe("warmkv cache with a directory", () => {
  it("stats sums up by model", async () => {
    await fixture.store(TEXT);
    await writeFile(path.join(fixture.directory, "notes.txt"), "mine");
    const { exitCode, stdout: text } = await offline("stats");
    expect(exitCode).toBe(0);
    expect(text).toMatch(
      /^MODEL +CHUNKS +SIZE +NEWEST +OLDEST\norg-model +5 +40\.00 KiB +\d+s +\d+s\n5 chunks, 40\.00 KiB; 1 other file\n$/,
    );
    expect(JSON.parse((await offline("stats", "--json")).stdout)).toMatchObject({
      num_chunks: 5,
      used_bytes: 40_960,
      num_other_files: 1,
      models: { "org-model": { num_chunks: 5 } },
    });
  });

  it("ls shows a line for each chunk, and --json is one list", async () => {
    await fixture.store(TEXT);
    const lines = (await offline("ls")).stdout.trim().split("\n");
    expect(lines).toHaveLength(5);
    for (const line of lines) {
      expect(line).toMatch(/^org-model {2}\[\d+, \d+\) +8\.00 KiB +\d+s {2}[0-9a-f]{32}$/);
    }
    const list = JSON.parse((await offline("ls", "--json")).stdout) as { start: number }[];
    expect(list.map(({ start }) => start).toSorted((a, b) => a - b)).toEqual([0, 16, 32, 48, 64]);
    expect(list[0]).toMatchObject({ model: "org-model", kind: "tokens", bytes: 8192 });
  });

  it("ls of an empty directory is empty", async () => {
    expect((await offline("ls")).stdout).toBe("");
    expect(JSON.parse((await offline("ls", "--json")).stdout)).toEqual([]);
  });

  it("verify passes whole chunks", async () => {
    await fixture.store(TEXT);
    expect(await offline("verify")).toEqual({
      exitCode: 0,
      stdout: "Verified 5 chunks, 40.00 KiB\n",
      stderr: "",
    });
  });

  it("verify names what is damaged, fails, and removes it with --delete", async () => {
    await fixture.store(TEXT);
    const file = await damageOne();
    expect(await offline("verify")).toEqual({
      exitCode: 1,
      stdout: `${file}: the payload has another checksum\nVerified 5 chunks, 40.00 KiB\n`,
      stderr: "error: Of 5 chunks: 1 damaged, 0 of them removed\n",
    });
    const { exitCode, stdout: text } = await offline("verify", "--delete", "--json");
    expect([exitCode, JSON.parse(text)]).toEqual([
      1,
      expect.objectContaining({
        num_damaged: 1,
        num_removed: 1,
        findings: [{ path: file, reason: "the payload has another checksum", removed: true }],
      }),
    ]);
    expect((await offline("verify")).exitCode).toBe(0);
    expect(await chunkNames()).toHaveLength(4);
  });

  it("clear removes the chunks beneath a server, which then misses them", async () => {
    await fixture.store(TEXT);
    await online("clear", "--tier", CPU);
    expect((await offline("clear")).stdout).toBe("Removed 5 chunks, 40.00 KiB\n");
    expect(await chunkNames()).toEqual([]);
    const { stdout: said } = await online("prefetch", "--prompt", TEXT);
    expect(said).toContain("Brought 0 of");
  });
});
