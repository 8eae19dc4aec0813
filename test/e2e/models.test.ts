import { mkdtemp, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { LLM, type LLMOptions, UsageError } from "../../src/index.ts";
import { resolveModel } from "../../src/models/index.ts";
import { splitModel, writeAdapter } from "./model-files.ts";

const PROMPT = "Once upon a time there was a model that knew nothing at all. ".repeat(12);

let directory: string;
let model: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-model-files-"));
  model = (await resolveModel("synth:1m")).path;
});
afterAll(() => rm(directory, { recursive: true }));

interface Run {
  readonly text: string;
  readonly numCachedTokens: number | undefined;
}

/** A process's life: load, answer, store all on disk, close. */
async function run(name: string, options: LLMOptions = {}): Promise<Run> {
  await using llm = await LLM.load(name, {
    threads: 1,
    maxModelLen: 2048,
    cache: {
      localCpu: false,
      maxLocalCpuSize: "64MiB",
      localDisk: join(directory, "kv"),
      maxLocalDiskSize: "1GiB",
    },
    ...options,
  });
  await allAdopted(llm);
  const answer = llm.generate(PROMPT, { maxTokens: 24, temperature: 0 });
  return { text: await answer.text(), numCachedTokens: answer.numCachedTokens };
}

/** Chunks that other processes left are taken up in the background. */
async function allAdopted(llm: LLM): Promise<void> {
  const files = await readdir(join(directory, "kv"), { recursive: true }).catch(() => []);
  const numFiles = files.filter((name) => name.endsWith(".kv")).length;
  const numChunks = (): number | undefined =>
    llm.stats().cache?.tiers["LocalDiskBackend"]?.numChunks;
  await vi.waitUntil(() => (numChunks() ?? numFiles) === numFiles);
}

describe("a LoRA adapter", () => {
  it("changes the answers, and shares no KV with the model alone or at another scale", async () => {
    const path = join(directory, "adapter.gguf");
    await writeAdapter(path, model);
    const plain = await run(model);
    const adapted = await run(model, { lora: [path] });
    const half = await run(model, { lora: [`${path}:0.5`] });
    const runs = [plain, adapted, half];
    expect(new Set(runs.map(({ text }) => text)).size).toBe(3);
    expect(runs.map(({ numCachedTokens }) => numCachedTokens)).toEqual([0, 0, 0]);

    expect(await run(model)).toEqual({ text: plain.text, numCachedTokens: PROMPT.length - 1 });
    expect(await run(model, { lora: [{ path, scale: 1 }] })).toEqual({
      text: adapted.text,
      numCachedTokens: PROMPT.length - 1,
    });
  });

  it("counts in the fingerprint with its content, its scale and its place in the row", async () => {
    const [one, other] = [join(directory, "one.gguf"), join(directory, "other.gguf")];
    await writeAdapter(one, model, { seed: 2 });
    await writeAdapter(other, model, { seed: 3 });
    const of = async (...paths: string[]): Promise<string> => {
      const adapters = paths.map((path) => ({ path, scale: 1 }));
      return (await resolveModel(model, { adapters })).fingerprint;
    };
    const all = [await of(), await of(one), await of(other), await of(one, other)];
    expect(new Set([...all, await of(other, one)]).size).toBe(5);
    await rename(one, join(directory, "renamed.gguf"));
    expect(await of(join(directory, "renamed.gguf"))).toBe(all[1]);
  });

  it("that does not fit is refused in a sentence", async () => {
    const path = join(directory, "foreign.gguf");
    await writeAdapter(path, model, { architecture: "qwen3" });
    await expect(run(model, { lora: [path] })).rejects.toThrow(
      /Cannot use the LoRA adapter .*arch/,
    );
    await expect(run(model, { lora: [path] })).rejects.toBeInstanceOf(UsageError);
    await expect(run(model, { lora: [model] })).rejects.toThrow(/wanted "adapter"/);
    await expect(run(model, { lora: [`${path}:much`] })).rejects.toThrow(/a number behind it/);
    await expect(run(model, { lora: [join(directory, "none.gguf")] })).rejects.toThrow(UsageError);
  });
});

it("a model of an architecture that llama.cpp does not know is refused by its name", async () => {
  const bytes = await readFile(model);
  const key = bytes.indexOf("general.architecture");
  bytes.write("xlama", bytes.indexOf("llama", key));
  const path = join(directory, "unknown.gguf");
  await writeFile(path, bytes);
  await expect(run(path)).rejects.toThrow(/unknown\.gguf: .* knows no architecture "xlama"$/);
  await expect(run(path)).rejects.toBeInstanceOf(UsageError);
});

describe("a model in several files", () => {
  it("answers like the one it was cut from, whichever part is named", async () => {
    const parts = await splitModel(model, join(directory, "split"), 3);
    const whole = await run(model, { cache: false });
    expect(await run(parts[0]!)).toEqual({ text: whole.text, numCachedTokens: 0 });
    for (const part of parts) {
      expect(await run(part)).toEqual({ text: whole.text, numCachedTokens: PROMPT.length - 1 });
    }
    const { fingerprint } = await resolveModel(parts[1]!);
    expect(fingerprint).toBe((await resolveModel(parts[0]!)).fingerprint);
    expect(fingerprint).not.toBe((await resolveModel(model)).fingerprint);

    await rm(parts[1]!);
    await expect(run(parts[0]!)).rejects.toThrow(/Cannot find all 3 parts .*-00002-of-00003/);
  });

  it("of which one part is of another model has another fingerprint", async () => {
    const parts = await splitModel(model, join(directory, "mixed"), 2);
    const before = (await resolveModel(parts[0]!)).fingerprint;
    const [, foreign] = await splitModel(
      (await resolveModel("synth:2m")).path,
      join(directory, "x"),
      2,
    );
    await rename(foreign!, parts[1]!);
    expect((await resolveModel(parts[0]!)).fingerprint).not.toBe(before);
  });
});
