import { readFileSync, readdirSync } from "node:fs";
import { Agent, request } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestServer } from "./test-server.ts";

/** As many as a test run has time for; a thorough run asks for 1,000. */
const NUM_CLIENTS = Number(process.env["WARMKV_NUM_CLIENTS"] ?? 200);
const MAX_TOKENS = 8;

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start("hermes", "--max-num-seqs", "8", "--max-model-len", "1024");
});
afterAll(() => server[Symbol.asyncDispose]());

interface Outcome {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | undefined;
}

async function stream(agent: Agent, index: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${server.url}/v1/completions`,
      { method: "POST", agent, headers: { "content-type": "application/json" } },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (piece: string) => (text += piece));
        response.on("error", reject);
        response.on("end", () => {
          const retryAfter = response.headers["retry-after"];
          resolve({ status: response.statusCode!, text, retryAfter });
        });
      },
    );
    sent.on("error", reject);
    sent.end(JSON.stringify({ prompt: `client ${index}: `, max_tokens: MAX_TOKENS, stream: true }));
  });
}

function residentMiB(): number {
  const status = readFileSync(`/proc/${server.process.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

/** Sockets that the server has open. */
function numFiles(): number {
  return readdirSync(`/proc/${server.process.pid}/fd`).length;
}

async function burst(): Promise<{ numDone: number; numRefused: number }> {
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity });
  const outcomes = await Promise.all(
    Array.from({ length: NUM_CLIENTS }, (_, index) => stream(agent, index)),
  );
  agent.destroy();
  let numDone = 0;
  for (const { status, text, retryAfter } of outcomes) {
    if (status === 200 && text.endsWith("data: [DONE]\n\n") && !text.includes('"error"')) {
      expect(text.match(/"finish_reason":"(stop|length)"/g)).toHaveLength(1);
      numDone++;
    } else {
      expect(status).toBe(429);
      expect(JSON.parse(text).error).toMatchObject({ code: "queue_full" });
      expect(retryAfter).toBe("1");
    }
  }
  return { numDone, numRefused: NUM_CLIENTS - numDone };
}

const isLinux = process.platform === "linux";

it("streams to many clients at once, with bounded memory and no socket left", async () => {
  // What is told of the event loop's lag is that since the last time.
  await server.metrics();
  const filesBefore = isLinux ? numFiles() : 0;
  const first = await burst();
  const memoryBetween = isLinux ? residentMiB() : 0;
  const second = await burst();
  console.log(
    `${NUM_CLIENTS} clients, twice: ${first.numDone} + ${second.numDone} done, ` +
      `${first.numRefused} + ${second.numRefused} refused`,
  );
  // Eight are computed and a thousand wait: nobody was refused for less.
  expect(first.numDone).toBeGreaterThanOrEqual(Math.min(NUM_CLIENTS, 1000));
  const metrics = await server.metrics();
  expect(metrics.get("vllm:num_requests_running")).toBe(0);
  expect(metrics.get("vllm:num_requests_waiting")).toBe(0);
  const lagMs = metrics.get("nodejs_eventloop_lag_p99_seconds")! * 1000;
  if (!isLinux) return;
  console.log(
    `${memoryBetween.toFixed(0)} MiB after the first, ${residentMiB().toFixed(0)} after the second; event loop lag p99 ${lagMs.toFixed(1)} ms`,
  );
  // A client may hold some 100 kB while it waits; nothing of it stays.
  expect(residentMiB()).toBeLessThan(memoryBetween + 20 + 0.1 * NUM_CLIENTS);
  // One is the probe's own, which is kept open.
  expect(numFiles()).toBeLessThanOrEqual(filesBefore + 2);
});
