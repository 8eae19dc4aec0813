import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerProcess } from "../../src/bench/server-process.ts";
import { LLM } from "../../src/index.ts";
import { synthesizeModel } from "../../src/models/index.ts";
import { writeAdapter } from "./model-files.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

let directory: string;
let server: ServerProcess;
let client: OpenAI;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-lora-"));
  // Of 32 bits, so that answers do not depend on where their cells lie.
  const path = join(directory, "base.gguf");
  await synthesizeModel({ numParams: 1e6, type: "f32", path });
  await writeAdapter(join(directory, "sql.gguf"), path, { seed: 2 });
  await writeAdapter(join(directory, "poems.gguf"), path, { seed: 3 });
  server = await ServerProcess.start({
    script,
    args: `serve ${path} --served-model-name base --port 0 --threads 1 --max-model-len 2048 --enable-lora --embeddings`
      .split(" ")
      .concat("--lora-modules", `sql=${directory}/sql.gguf`)
      .concat(JSON.stringify({ name: "poems", path: `${directory}/poems.gguf:0.7` })),
    env: { ...process.env, LMCACHE_LOCAL_CPU: "True", LMCACHE_MAX_LOCAL_CPU_SIZE: "0.25" },
  });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true });
});

const names = ["base", "sql", "poems"];

async function ask(model: string, prompt: string): Promise<{ text: string; numCached: number }> {
  const answer = await client.completions.create({
    model,
    prompt,
    temperature: 0,
    max_tokens: 24,
  });
  expect(answer.model).toBe(model);
  const { usage, choices } = answer;
  return {
    text: choices[0]!.text,
    numCached: usage!.prompt_tokens_details!.cached_tokens!,
  };
}

describe("LoRA modules", () => {
  it("are listed as models that the served one is the parent of", async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual(names);
    expect(data[1]).toMatchObject({ parent: "base", root: join(directory, "sql.gguf") });
    expect(await client.models.retrieve("poems")).toMatchObject({ id: "poems" });
    await expect(ask("prose", "a")).rejects.toThrow("The model `prose` does not exist");
  });

  it("answer beside each other as they do alone, and share no KV", async () => {
    const prompt = "Once upon a time ".repeat(40);
    const alone: Record<string, string> = {};
    for (const name of names) {
      const { text, numCached } = await ask(name, prompt);
      expect(numCached).toBe(0);
      alone[name] = text;
    }
    expect(new Set(Object.values(alone)).size).toBe(3);

    const numTokens = (await client.completions.create({ model: "sql", prompt, max_tokens: 1 }))
      .usage!.prompt_tokens;
    const asked = [...names, ...names];
    const answers = await Promise.all(asked.map((name) => ask(name, prompt)));
    for (const [i, { text, numCached }] of answers.entries()) {
      expect(text).toBe(alone[asked[i]!]);
      expect(numCached).toBe(numTokens - 1);
    }
  });

  it("cannot be had by a salt, nor make embeddings", async () => {
    const body = { model: "base", prompt: "a", cache_salt: "\0lora:" };
    await expect(client.completions.create(body)).rejects.toThrow("'cache_salt'");
    const embeddings = client.embeddings.create({ model: "sql", input: "a" });
    await expect(embeddings).rejects.toThrow("`sql` makes no embeddings");
  });

  it("are looked up in the cache under their names", async () => {
    const prompt = "Of a cache. ".repeat(60);
    await ask("sql", prompt);
    const lookup = async (model: string): Promise<number> => {
      const response = await fetch(`${server.url}/cache/lookup`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model, prompt }),
      });
      return ((await response.json()) as { hit_tokens: number }).hit_tokens;
    };
    expect(await lookup("sql")).toBeGreaterThan(500);
    expect(await lookup("poems")).toBe(0);
    expect(await lookup("base")).toBe(0);
  });

  it("are asked for by name in the library, too", async () => {
    await using llm = await LLM.load(join(directory, "base.gguf"), {
      maxModelLen: 512,
      cache: false,
      threads: 1,
      loraModules: { sql: join(directory, "sql.gguf") },
    });
    const text = (module?: string): Promise<string> =>
      llm.generate("Once upon a time", { temperature: 0, maxTokens: 16, module }).text();
    const plain = await text();
    expect(await text("sql")).not.toBe(plain);
    expect(await text()).toBe(plain);
    await expect(text("poems")).rejects.toThrow('There is no LoRA module "poems"');
  });
});
