import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import OpenAI from "openai";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { ServerProcess } from "../../src/bench/server-process.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const KV_TRANSFER = '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}';

const running: ServerProcess[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
});

async function serve(env: Record<string, string>, ...flags: string[]): Promise<ServerProcess> {
  const server = await ServerProcess.start({
    script,
    args: ["serve", "synth:1m", "--port", "0", "--threads", "1", ...flags],
    env: { ...withoutCacheSettings(), ...env },
  });
  running.push(server);
  return server;
}

function withoutCacheSettings(): NodeJS.ProcessEnv {
  const isForeign = (name: string): boolean =>
    !name.startsWith("LMCACHE_") && name !== "VLLM_API_KEY";
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => isForeign(name)));
}

const clientOf = (server: ServerProcess, apiKey = "none"): OpenAI =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 });

/** One token for each character. */
const promptOf = (numTokens: number, seed = 1): string =>
  Array.from({ length: numTokens }, (_, i) =>
    String.fromCharCode(97 + ((i * i * 7 + i * seed + ((i * seed) >> 3)) % 26)),
  ).join("");

async function complete(
  server: ServerProcess,
  prompt: string,
): Promise<{ text: string; numCached: number | undefined }> {
  const answer = await clientOf(server).completions.create({
    model: "synth:1m",
    prompt,
    max_tokens: 16,
    temperature: 0,
  });
  return {
    text: answer.choices[0]!.text,
    numCached: answer.usage?.prompt_tokens_details?.cached_tokens,
  };
}

async function gauge(server: ServerProcess, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "m").exec(text)?.[1]);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error("It did not come to that in 20 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("warmkv serve", () => {
  it("answers the same long prompt from the cache, with LMCache's log lines", async () => {
    const server = await serve(
      {
        LMCACHE_CHUNK_SIZE: "256",
        LMCACHE_LOCAL_CPU: "True",
        LMCACHE_MAX_LOCAL_CPU_SIZE: "0.1",
        LMCACHE_USE_EXPERIMENTAL: "True",
      },
      "--kv-transfer-config",
      KV_TRANSFER,
      "--max-model-len",
      "16384",
      // As the walkthrough does: otherwise the engine still has the prompt and needs to load nothing.
      "--no-enable-prefix-caching",
    );
    const prompt = promptOf(15_410);
    const cold = await complete(server, prompt);
    const warm = await complete(server, prompt);
    expect(warm.text).toBe(cold.text);
    expect([cold.numCached, warm.numCached]).toEqual([0, 15_409]);
    const log = server.logLines.join("\n");
    expect(log).toMatch(/Creating LMCacheEngine instance \S+/);
    expect(log).toMatch(/Reqid: \S+, Total tokens 15410, LMCache hit tokens: 0, need to load: 0/);
    expect(log).toMatch(/Storing KV cache for \d+ out of \d+ tokens for request \S+/);
    expect(log).toMatch(
      /Reqid: \S+, Total tokens 15410, LMCache hit tokens: 15409, need to load: 15409/,
    );
    expect(log).toMatch(
      /Retrieved 15409 out of 15409 tokens .*size: \S+ GB, cost \S+ ms, throughput: \S+ GB\/s/,
    );
  });

  it("answers the README's curl lines as they stand there", async () => {
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    const commands = readme.match(/^curl (?:.*\\\n)*.*$/gm) ?? [];
    expect(commands).toHaveLength(3);
    // The README serves a larger model under its own name, on its own port.
    const name = ["--served-model-name", "synth:25m"];
    const server = await serve({}, "--kv-transfer-config", KV_TRANSFER, ...name);
    const answers: string[] = [];
    for (const command of commands) {
      const shell = command.replaceAll("http://127.0.0.1:8000", server.url);
      const { stdout } = await promisify(execFile)("bash", ["-o", "pipefail", "-c", shell]);
      answers.push(stdout);
    }
    expect(JSON.parse(answers[0]!)).toMatchObject({ usage: { completion_tokens: 20 } });
    expect(answers[1]).toMatch(/^data: \{.*chat\.completion\.chunk[^]*data: \[DONE\]\n\n$/);
    expect(answers[2]).toMatch(/^lmcache:\w+\{?/m);
  });

  it("streams chat through the openai client, with usage", async () => {
    const server = await serve({}, "--kv-transfer-config", KV_TRANSFER, "--api-key", "secret");
    const messages = [{ role: "user" as const, content: promptOf(700) }];
    const ask = async (): Promise<{ text: string; numCached: number | undefined }> => {
      const stream = await clientOf(server, "secret").chat.completions.create({
        model: "synth:1m",
        messages,
        max_tokens: 12,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = "";
      let numCached: number | undefined;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        numCached = chunk.usage?.prompt_tokens_details?.cached_tokens ?? numCached;
      }
      return { text, numCached };
    };
    const cold = await ask();
    const warm = await ask();
    expect(warm.text).toBe(cold.text);
    expect(cold.text).toHaveLength(12);
    expect(cold.numCached).toBe(0);
    expect(warm.numCached).toBeGreaterThan(700);
    await expect(clientOf(server, "wrong").models.list()).rejects.toMatchObject({ status: 401 });
  });

  it("answers several prompts, each several times", async () => {
    const server = await serve({});
    for (let round = 0; round < 5; round++) {
      const answer = await clientOf(server).completions.create({
        model: "synth:1m",
        prompt: ["a", "bc", "def"],
        max_tokens: 3,
        n: 2,
      });
      expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
      expect(answer.usage?.completion_tokens).toBe(18);
    }
  });

  it.each([true, false])("frees what a client held that leaves (stream: %s)", async (stream) => {
    const server = await serve({}, "--max-model-len", "16384");
    const body = JSON.stringify({
      model: "synth:1m",
      prompt: promptOf(12_000),
      max_tokens: 4000,
      temperature: 0,
      stream,
    });
    const sent = request(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
    });
    sent.on("error", () => {});
    sent.end(body);
    await until(async () => (await gauge(server, "vllm:num_requests_running")) === 1);
    sent.destroy();
    await until(async () => (await gauge(server, "vllm:num_requests_running")) === 0);
    expect(await gauge(server, "vllm:kv_cache_usage_perc")).toBe(0);
  });

  it("ends on SIGTERM with 0 when the answers under way are done", async () => {
    const server = await serve({});
    const answer = complete(server, promptOf(2000));
    await until(async () => (await gauge(server, "vllm:num_requests_running")) === 1);
    process.kill(server.pid, "SIGTERM");
    expect((await answer).text).toHaveLength(16);
    await server.stop();
  });
});

describe("warmkv serve with a disk tier", () => {
  const directory = mkdtempSync(join(tmpdir(), "warmkv-serve-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const env = {
    LMCACHE_LOCAL_CPU: "False",
    LMCACHE_MAX_LOCAL_CPU_SIZE: "0.1",
    LMCACHE_LOCAL_DISK: `file://${directory}/kv/`,
    LMCACHE_MAX_LOCAL_DISK_SIZE: "0.5",
  };

  it("is warm from disk, and after kill -9 and a restart", async () => {
    const prompt = promptOf(3000, 3);
    const first = await serve(env);
    const cold = await complete(first, prompt);
    await until(async () => readdirSync(join(directory, "kv")).length >= 12);
    const warm = await complete(first, prompt);
    expect(warm).toEqual({ text: cold.text, numCached: 2999 });

    process.kill(first.pid, "SIGKILL");
    await first.stop();
    const second = await serve(env);
    expect(await complete(second, prompt)).toEqual({ text: cold.text, numCached: 2999 });
  });
});
