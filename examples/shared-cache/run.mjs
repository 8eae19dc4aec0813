// Two engines, one cache: a prompt that the first engine has computed is loaded by the second.
//
//   node examples/shared-cache/run.mjs [model] [characters of the prompt]
//
// Builds nothing: run `npm run build` before, or set WARMKV to the command line of an installed warmkv.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const model = process.argv[2] ?? "synth:25m";
const numCharacters = Number(process.argv[3] ?? 6000);
const script =
  process.env.WARMKV ?? fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const running = [];

/** Starts `warmkv ...`, resolves when it listens. */
async function start(name, args, settings = {}) {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.push(child);
  const log = [];
  const url = await new Promise((resolve, reject) => {
    for (const output of [child.stdout, child.stderr]) {
      createInterface({ input: output }).on("line", (line) => {
        log.push(line);
        const listening = /(?:Listening on|Server started at) (\S+)/.exec(line);
        if (listening !== null) resolve(listening[1]);
      });
    }
    child.once("exit", () => reject(new Error(`${name} ended:\n${log.join("\n")}`)));
  });
  console.log(`${name}: ${url}`);
  return { url, log };
}

async function post(url, body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return await response.json();
}

/** Asks for one token: the time until it is there is the time of the prompt. */
async function complete({ url }, prompt) {
  const startedMs = performance.now();
  const { choices, usage } = await post(`${url}/v1/completions`, {
    model,
    prompt,
    max_tokens: 1,
    temperature: 0,
  });
  return { ms: performance.now() - startedMs, text: choices[0].text, usage };
}

/** Chunks are written behind the request. */
async function untilShared({ url }, prompt, numTokens) {
  for (let round = 0; round < 500; round++) {
    const { tiers } = await post(`${url}/cache/lookup`, { model, prompt });
    if (tiers.RemoteBackend >= numTokens) return;
    await delay(20);
  }
  throw new Error("The prompt did not come to the cache server in 10 s");
}

function show(name, { ms, usage }) {
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  console.log(
    `${name}: ${ms.toFixed(0)} ms, ${usage.prompt_tokens} prompt tokens, cached_tokens: ${cached}`,
  );
}

try {
  const cache = await start("cache server", ["cache-server", "127.0.0.1", "0"]);
  const engine = ["serve", model, "--port", "0"];
  const settings = { LMCACHE_REMOTE_URL: `lm://${cache.url}`, LMCACHE_MAX_LOCAL_CPU_SIZE: "0.5" };
  const first = await start("first engine", engine, settings);
  const second = await start("second engine", engine, settings);

  const story = "The lighthouse keeper wrote down what the sea had brought that day. ";
  const prompt = story.repeat(Math.ceil(numCharacters / story.length)).slice(0, numCharacters);
  // The first request of an engine finds cold memory; that is not what is to be shown.
  for (const each of [first, second]) await complete(each, `Warm up, ${each.url}!`);

  const cold = await complete(first, prompt);
  show("first engine", cold);
  await untilShared(second, prompt, cold.usage.prompt_tokens);
  const warm = await complete(second, prompt);
  show("second engine", warm);
  const isSame = warm.text === cold.text;
  console.log(`the same answer: ${isSame}, ${(cold.ms / warm.ms).toFixed(1)} times as fast`);
  console.log("log of the second engine:");
  for (const line of second.log.slice(-8).filter((each) => /hit tokens|Retrieved/.test(each)))
    console.log(`  ${line}`);
  process.exitCode = isSame ? 0 : 1;
} finally {
  for (const child of running) if (child.kill()) await once(child, "exit");
}
