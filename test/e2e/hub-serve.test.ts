import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LLM, type LLMOptions } from "../../src/index.ts";
import { ServerProcess } from "../../src/bench/server-process.ts";
import { loadLlamaLibrary } from "../../src/engine/llama/library.ts";
import { resolveModel } from "../../src/models/index.ts";
import { HubServer } from "./hub-server.ts";
import { writeAdapter } from "./model-files.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TOKEN = "hf_verysecret";

let directory: string;
let hub: HubServer;
let running: ServerProcess[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-hub-serve-"));
  hub = await HubServer.start();
});
afterEach(async () => {
  for (const server of running) await server.stop();
  running = [];
  vi.unstubAllEnvs();
  await hub[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function serve(model: string, ...flags: string[]): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    script,
    args: ["serve", model, "--port", "0", "--threads", "1", "--max-model-len", "1024", ...flags],
    env: { ...process.env, HF_ENDPOINT: hub.url, HF_HOME: directory, HF_TOKEN: TOKEN },
  });
  running.push(server);
  return server;
}

async function complete(server: ServerProcess, sampling: object): Promise<string> {
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const [model] = (await client.models.list()).data;
  const answer = await client.completions.create({
    model: model!.id,
    prompt: "Once upon a time",
    max_tokens: 16,
    ...sampling,
  });
  return answer.choices[0]!.text;
}

describe("warmkv serve", () => {
  it("downloads a private model of the hub, and tells nobody the token", async () => {
    const bytes = await readFile((await resolveModel("synth:1m")).path);
    hub.repositories.set("owner/tiny", { files: { "t-Q8_0.gguf": bytes }, tokens: [TOKEN] });
    const flags = ["--enforce-eager", "--tensor-parallel-size", "1", "--log-level", "debug"];
    const online = await serve("owner/tiny:Q8_0", ...flags);
    const text = await complete(online, { temperature: 0 });
    expect(text).toHaveLength(16);
    const lines = online.logLines.join("\n");
    expect(lines).toContain("Downloading t-Q8_0.gguf");
    expect(lines).toContain("Without effect here: --tensor-parallel-size (");
    expect(lines).not.toContain(TOKEN);

    hub.repositories.clear();
    await hub[Symbol.asyncDispose]();
    const offline = await serve("owner/tiny:Q8_0");
    expect(await complete(offline, { temperature: 0 })).toBe(text);
  });

  it("refuses what this machine cannot do before it downloads anything", async () => {
    hub.repositories.set("owner/tiny", { files: { "t.gguf": Buffer.from("not a model") } });
    const load = (options: LLMOptions): Promise<LLM> =>
      LLM.load("owner/tiny", { downloadDir: directory, ...options });
    vi.stubEnv("HF_ENDPOINT", hub.url);
    await expect(load({ kvCacheDtype: "q9" })).rejects.toThrow(/type "q9": wanted one of f32, f16/);
    if (loadLlamaLibrary().gpu.devices.length === 0) {
      await expect(load({ gpuLayers: 5 })).rejects.toThrow("Cannot use --gpu-layers 5: ");
    }
    await expect(load({ lora: ["none.gguf"] })).rejects.toThrow("none.gguf");
    expect(hub.seen).toEqual([]);
    await expect(load({})).rejects.toThrow('it does not start with "GGUF"');
    expect(hub.downloads()).toHaveLength(1);
  });

  it("answers unseeded requests alike after a restart with --seed", async () => {
    const answers = async (...flags: string[]): Promise<string[]> => {
      const server = await serve("synth:1m", ...flags);
      return [await complete(server, {}), await complete(server, {})];
    };
    const [one, other] = [await answers("--seed", "7"), await answers("--seed", "7")];
    expect(one).toEqual(other);
    expect(one[0]).not.toBe(one[1]);
    expect(await answers("--seed", "8")).not.toEqual(one);
  });

  it("adds a --lora adapter to the model", async () => {
    const path = join(directory, "adapter.gguf");
    await writeAdapter(path, (await resolveModel("synth:1m")).path);
    const plain = await complete(await serve("synth:1m"), { temperature: 0 });
    const adapted = await serve("synth:1m", "--lora", `${path}:0.9`, "--kv-cache-dtype", "q8_0");
    expect(await complete(adapted, { temperature: 0 })).not.toBe(plain);
  });
});
