import { fork, spawnSync } from "node:child_process";
import {
  mkdtemp,
  readFile,
  readdir,
  readlink,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Logger, UsageError, silentLogger } from "../../src/core/index.ts";
import { findHubModel, type HubModelOptions } from "../../src/models/hub/hub-model.ts";
import { type ModelProgress, resolveModel } from "../../src/models/index.ts";
import { COMMIT, HubServer, sha256Of } from "./hub-server.ts";

const REPOSITORY = "owner/tiny-GGUF";
const TOKEN = "hf_verysecret";

let model: Uint8Array;
let hub: HubServer;
let home: string;

beforeAll(async () => {
  model = await readFile((await resolveModel("synth:1m")).path);
});
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "warmkv-hub-"));
  hub = await HubServer.start();
});
afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
});

/** Waits for nothing, and remembers for how long it was asked to. */
function recordingSleep(): { sleep: NonNullable<HubModelOptions["sleep"]>; delays: number[] } {
  const delays: number[] = [];
  return {
    delays,
    sleep: async (delayMs, signal) => {
      signal?.throwIfAborted();
      delays.push(delayMs);
    },
  };
}

function environment(more: Record<string, string> = {}): Record<string, string> {
  return { HF_ENDPOINT: hub.url, HF_HOME: home, ...more };
}

async function find(quant?: string, options: Partial<HubModelOptions> = {}): Promise<string> {
  return findHubModel(
    { repository: REPOSITORY, quant },
    {
      env: environment(),
      onBytes: () => {},
      logger: silentLogger,
      sleep: recordingSleep().sleep,
      ...options,
    },
  );
}

async function refusal(quant?: string, options: Partial<HubModelOptions> = {}): Promise<string> {
  const error: unknown = await find(quant, options).then(
    (path) => new Error(`Found ${path}`),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UsageError);
  return (error as UsageError).message;
}

const blobs = (): Promise<string[]> => readdir(join(home, "hub/models--owner--tiny-GGUF/blobs"));
const publish = (files: Record<string, Uint8Array> = { "tiny-Q4_K_M.gguf": model }): void =>
  void hub.repositories.set(REPOSITORY, { files });

function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  return { lines, logger: { debug: log, info: log, warn: log, error: log } };
}

describe("a model of the hub", () => {
  it("is downloaded into the cache that other tools share, and from then on found there", async () => {
    publish({
      "README.md": Buffer.from("hello"),
      "mmproj-Q4_K_M.gguf": Buffer.from("no model"),
      "tiny-F16.gguf": Buffer.from("other"),
      "tiny-Q4_K_M.gguf": model,
    });
    const progress: ModelProgress[] = [];
    const resolved = await resolveModel(REPOSITORY, {
      env: environment(),
      onProgress: (step) => progress.push(step),
    });
    const folder = join(home, "hub/models--owner--tiny-GGUF");
    expect(resolved.path).toBe(join(folder, "snapshots", COMMIT, "tiny-Q4_K_M.gguf"));
    expect(await readlink(resolved.path)).toBe(`../../blobs/${sha256Of(model)}`);
    expect(await readFile(join(folder, "refs/main"), "utf8")).toBe(COMMIT);
    expect(await blobs()).toEqual([sha256Of(model)]);
    expect(resolved.fingerprint).toBe((await resolveModel("synth:1m")).fingerprint);
    expect(progress.at(-1)).toEqual({
      activity: "downloading",
      doneBytes: model.length,
      totalBytes: model.length,
    });

    const again = await resolveModel(`${REPOSITORY}:q4_k_m`, { env: environment() });
    expect(again).toEqual(resolved);
    expect(hub.downloads()).toHaveLength(1);
  });

  it("is split into parts that all come", async () => {
    const parts = [1, 2, 3].map((part) => `Q8_0/big-0000${part}-of-00003.gguf`);
    publish(Object.fromEntries(parts.map((part, index) => [part, Buffer.from(`part ${index}`)])));
    const path = await find("Q8_0");
    expect(path.endsWith(parts[0]!)).toBe(true);
    for (const [index, part] of parts.entries()) {
      expect(await readFile(path.replace(parts[0]!, part), "utf8")).toBe(`part ${index}`);
    }
  });

  it("is found by a quant that exists; others get a list of what there is", async () => {
    publish({ "a-Q4_0.gguf": model, "a-Q8_0.gguf": Buffer.from("eight") });
    expect(await find("q8_0")).toMatch(/a-Q8_0\.gguf$/);
    expect(await find("a-Q4_0.gguf")).toMatch(/a-Q4_0\.gguf$/);
    expect(await refusal("Q5_K_M")).toBe(
      'Cannot find "Q5_K_M" in "owner/tiny-GGUF": wanted one of a-Q4_0.gguf, a-Q8_0.gguf',
    );
    publish({ "model.safetensors": Buffer.from("x") });
    expect(await refusal()).toContain("there is no .gguf model in it (it holds model.safetensors)");
    publish({ "a-00001-of-00002.gguf": model });
    expect(await refusal()).toContain('"a-00002-of-00002.gguf" is not there');
  });

  it("goes into --download-dir, and comes from a --revision", async () => {
    hub.repositories.set(REPOSITORY, { files: { "a.gguf": model }, commit: "f".repeat(40) });
    const downloadDir = join(home, "elsewhere");
    const revision = "f".repeat(40);
    expect(await find(undefined, { downloadDir, revision })).toBe(
      join(downloadDir, "models--owner--tiny-GGUF/snapshots", revision, "a.gguf"),
    );
    expect(await refusal(undefined, { revision: "v2" })).toContain("no such --revision");
    expect(await refusal(undefined, { revision: "../../etc" })).toContain('--revision "../../etc"');
  });

  it("never leaves the cache, whatever the hub calls its files", async () => {
    publish({ "../../../../outside-Q4_K_M.gguf": model });
    expect(await refusal()).toContain("there is no .gguf model in it");
    expect(await readdir(home)).toEqual([]);
  });
});

describe("a download", () => {
  it("goes on where the connection was lost", async () => {
    publish();
    hub.drops.push(300_000, 0, 200_000);
    const { sleep, delays } = recordingSleep();
    const path = await find(undefined, { sleep });
    expect(sha256Of(await readFile(path))).toBe(sha256Of(model));
    expect(hub.downloads().map(({ range }) => range?.slice(0, 9))).toHaveLength(4);
    expect(hub.downloads()[0]!.range).toBe("bytes=0-");
    expect(hub.numSentBytes).toBeLessThan(model.length * 1.4);
    expect(delays).toEqual([500, 1000, 500]);
  });

  it("goes on where an interrupted one has stopped", async () => {
    publish();
    const interruption = new AbortController();
    hub.pieceDelayMs = 1;
    const onBytes = (doneBytes: number): void => {
      if (doneBytes > model.length / 2) interruption.abort(new Error("Interrupted"));
    };
    await expect(find(undefined, { onBytes, signal: interruption.signal })).rejects.toThrow(
      "Interrupted",
    );
    const [partial] = await blobs();
    expect(partial).toMatch(/\.incomplete$/);
    const numKept = (await stat(join(home, "hub/models--owner--tiny-GGUF/blobs", partial!))).size;
    expect(numKept).toBeGreaterThan(model.length / 2);

    hub.pieceDelayMs = 0;
    const totals: number[] = [];
    const path = await find(undefined, { onBytes: (_, totalBytes) => totals.push(totalBytes) });
    expect(sha256Of(await readFile(path))).toBe(sha256Of(model));
    expect(hub.downloads().at(-1)!.range).toBe(`bytes=${numKept}-`);
    expect(totals[0]).toBe(model.length - numKept);
    expect(await blobs()).toEqual([sha256Of(model)]);
  });

  it("goes on with a server that knows no ranges", async () => {
    publish();
    hub.drops.push(500_000);
    hub.ignoresRanges = true;
    expect(sha256Of(await readFile(await find()))).toBe(sha256Of(model));
  });

  it("starts again when the part that was kept is damaged", async () => {
    publish();
    await find();
    const folder = join(home, "hub/models--owner--tiny-GGUF");
    const blob = join(folder, "blobs", sha256Of(model));
    await rm(blob);
    await writeFile(`${blob}.warmkv.incomplete`, Buffer.alloc(100_000));
    expect(sha256Of(await readFile(await find()))).toBe(sha256Of(model));
    await truncate(blob, 5);
    await writeFile(`${blob}.warmkv.incomplete`, Buffer.alloc(model.length + 1));
    expect(sha256Of(await readFile(await find()))).toBe(sha256Of(model));
  });

  it("that is damaged on the way fails, and nothing of it is kept", async () => {
    publish();
    hub.corrupt = (bytes) =>
      Uint8Array.from(bytes, (byte, index) => (index === 70_000 ? byte ^ 1 : byte));
    await expect(find()).rejects.toThrow(/has not the hash [0-9a-f]{64}/);
    expect(await blobs()).toEqual([]);
  });

  it("gives up when the connection is lost again and again, and keeps what has come", async () => {
    publish();
    hub.drops.push(100_000, 0, 0, 0, 0, 0, 0);
    await expect(find()).rejects.toThrow(/Cannot download "owner\/tiny-GGUF": The connection was/);
    expect(await blobs()).toHaveLength(1);
    hub.drops.length = 0;
    await find();
    expect(hub.numSentBytes).toBeLessThan(model.length * 1.2);
  });

  it("tries again after 429 and 503, as long as the hub asks for", async () => {
    publish();
    hub.failures.push({ status: 429, headers: { "retry-after": "7" } }, { status: 503 });
    const { sleep, delays } = recordingSleep();
    await find(undefined, { sleep });
    expect(delays).toEqual([7000, 1000]);
  });

  it("refuses when the disk has no room", async () => {
    publish();
    hub.claimedBytes = 2 ** 52;
    expect(await refusal()).toMatch(/it takes .* TiB, and .* are free; --download-dir/);
  });
});

describe("two downloads of one model at once", () => {
  const child = fileURLToPath(new URL("hub-child.mjs", import.meta.url));

  it("send its bytes once, in two processes", async () => {
    publish();
    hub.pieceDelayMs = 3;
    const paths = await Promise.all(
      [1, 2].map(async () => {
        const process = fork(child, [REPOSITORY], { env: environment() });
        return new Promise<string>((resolve, reject) => {
          process.once("message", (path) => resolve(path as string)).once("error", reject);
          process.once("exit", (code) => reject(new Error(`It ended with ${code}`)));
        });
      }),
    );
    expect(new Set(paths).size).toBe(1);
    expect(sha256Of(await readFile(paths[0]!))).toBe(sha256Of(model));
    expect(hub.downloads()).toHaveLength(1);
    expect(await blobs()).toEqual([sha256Of(model)]);
  });

  it("both end well when neither knows of the other", async () => {
    publish();
    hub.pieceDelayMs = 1;
    const unlocked = find();
    const lock = join(home, "hub/models--owner--tiny-GGUF/blobs", `${sha256Of(model)}.warmkv.lock`);
    while (
      !(await rm(lock).then(
        () => true,
        () => false,
      ))
    )
      await new Promise(setImmediate);
    const [one, other] = await Promise.all([unlocked, find()]);
    expect(one).toBe(other);
    expect(sha256Of(await readFile(one))).toBe(sha256Of(model));
    expect(await blobs()).toEqual([sha256Of(model)]);
  });

  it("one takes the lock of a process that is gone", async () => {
    publish();
    await find();
    const blob = join(home, "hub/models--owner--tiny-GGUF/blobs", sha256Of(model));
    await rm(blob);
    const longAgo = new Date(Date.now() - 60_000);
    await writeFile(`${blob}.warmkv.lock`, "elsewhere 1");
    await utimes(`${blob}.warmkv.lock`, longAgo, longAgo);
    await find();
    expect(await blobs()).toEqual([sha256Of(model)]);

    await rm(blob);
    const { pid } = spawnSync(process.execPath, ["--version"]);
    await writeFile(`${blob}.warmkv.lock`, `${hostname()} ${pid}`);
    const { sleep, delays } = recordingSleep();
    await find(undefined, { sleep });
    expect(delays).toEqual([]);
  });
});

describe("a token", () => {
  const withToken = (): Partial<HubModelOptions> => ({ env: environment({ HF_TOKEN: TOKEN }) });

  it("opens a private repository, and goes to the hub alone", async () => {
    hub.repositories.set(REPOSITORY, { files: { "a.gguf": model }, tokens: [TOKEN] });
    const { logger, lines } = recordingLogger();
    await find(undefined, { ...withToken(), logger });
    for (const { host, authorization } of hub.seen) {
      expect(authorization).toBe(host === "hub" ? `Bearer ${TOKEN}` : undefined);
    }
    expect(lines.join("\n")).toContain("Downloading a.gguf");
    expect(lines.join("\n")).not.toContain(TOKEN);
  });

  it("is read where hf auth login leaves it", async () => {
    hub.repositories.set(REPOSITORY, { files: { "a.gguf": model }, tokens: [TOKEN] });
    await writeFile(join(home, "token"), `${TOKEN}\n`);
    await find();
  });

  it("that is missing or does not open it is said so, and never shown", async () => {
    hub.repositories.set(REPOSITORY, { files: { "a.gguf": model }, tokens: ["other"] });
    expect(await refusal()).toMatch(/no such repository, or it is private \(set HF_TOKEN\)/);
    const refused = await refusal(undefined, withToken());
    expect(refused).toContain("HF_TOKEN does not open it");
    expect(refused).not.toContain(TOKEN);
    hub.repositories.set(REPOSITORY, { files: {}, tokens: ["other"], isGated: true });
    expect(await refusal()).toContain(`asks for consent; give it at ${hub.url}/${REPOSITORY}`);
    const odd = await refusal(undefined, { env: environment({ HF_TOKEN: "hf_\u0001odd" }) });
    expect(odd).not.toContain("odd");
  });
});

describe("without the network", () => {
  it("a model that was downloaded before is served, with a warning", async () => {
    publish();
    const path = await find();
    await hub[Symbol.asyncDispose]();
    const { logger, lines } = recordingLogger();
    expect(await find(undefined, { logger })).toBe(path);
    expect(lines.join()).toContain(`does not answer (ECONNREFUSED): serving ${path}`);
  });

  it("a hub that only fails does not stop it either", async () => {
    publish();
    const path = await find();
    hub.failures.push(...Array.from({ length: 9 }, () => ({ status: 503 })));
    expect(await find()).toBe(path);
  });

  it("HF_HUB_OFFLINE asks nobody", async () => {
    publish();
    const env = environment({ HF_HUB_OFFLINE: "1" });
    expect(await refusal(undefined, { env })).toMatch(/HF_HUB_OFFLINE is set, and it is not in/);
    const path = await find();
    const numSeen = hub.seen.length;
    expect(await find(undefined, { env })).toBe(path);
    expect(await find("Q4_K_M", { env })).toBe(path);
    expect(hub.seen).toHaveLength(numSeen);
    expect(await refusal("Q8_0", { env })).toContain("is not in");
  });

  it("a model that is not here is an error that says why", async () => {
    await hub[Symbol.asyncDispose]();
    await expect(find()).rejects.toThrow(/does not answer \(ECONNREFUSED\)/);
    const env = { HF_ENDPOINT: "nonsense" };
    expect(await refusal(undefined, { env })).toContain('Cannot use HF_ENDPOINT "nonsense"');
  });

  it("a commit that is here whole needs no hub", async () => {
    publish();
    const path = await find();
    await hub[Symbol.asyncDispose]();
    const { logger, lines } = recordingLogger();
    expect(await find("Q4_K_M", { revision: COMMIT, logger })).toBe(path);
    expect(lines).toEqual([]);
  });
});
