import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../src/engine/chat-template.ts";
import { post, testApp } from "./requests.ts";
import type { TestApp } from "./requests.ts";
import { FIELD_NAMES, anyValue, request, responseFormat, tools } from "./random-requests.ts";

/** As many as a test run has time for; a thorough run asks for more. */
const NUM_RUNS = Number(process.env["WARMKV_NUM_RANDOM_BODIES"] ?? 1000);

const TEMPLATE =
  "{{ tools | tojson }}{# <tool_call> <think> reasoning_effort #}" +
  "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ m.tool_calls | tojson }};{% endfor %}";

const REPLY = '<think>a</think>x<tool_call>{"name": "f", "arguments": {}}</tool_call>';

function randomApp(): TestApp {
  const chatTemplate = new ChatTemplate(TEMPLATE, { bosText: "", eosText: "", addsBos: false });
  const embedding = { dimensions: 2, maxTokens: 100, isAll: false };
  const model = { maxModelLen: 2000, embedding };
  return testApp({ reply: () => REPLY, model }, { chatTemplate });
}

/** @returns the status, which is never that of a crash */
async function checkAnswer({ app, engine }: TestApp, path: string, body: unknown): Promise<number> {
  const response = await post(app, path, JSON.stringify(body));
  expect([200, 400, 404]).toContain(response.status);
  const text = await response.text();
  expect(text).not.toContain("server_error");
  if (response.status !== 200) expect(JSON.parse(text).error.message).toMatch(/\w/);
  expect(engine.numActive).toBe(0);
  return response.status;
}

describe("random bodies", () => {
  it("never crash the server and never get a 500", { timeout: 600_000 }, async () => {
    const app = randomApp();
    const numByStatus = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(request, async ({ path, body }) => {
        const status = await checkAnswer(app, path, body);
        numByStatus.set(status, (numByStatus.get(status) ?? 0) + 1);
      }),
      { numRuns: NUM_RUNS },
    );
    // Not all of them died at the door.
    expect(numByStatus.get(200)).toBeGreaterThan(NUM_RUNS / 10);
    expect(numByStatus.get(400)).toBeGreaterThan(NUM_RUNS / 10);
  });

  it("never do so field by field", { timeout: 600_000 }, async () => {
    const app = randomApp();
    const bodies = [
      ["/v1/completions", { prompt: "a" }],
      ["/v1/embeddings", { input: "a" }],
      ["/v1/chat/completions", { messages: [{ role: "user", content: "a" }] }],
    ] as const;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...bodies),
        fc.constantFrom(...FIELD_NAMES),
        fc.oneof(anyValue, responseFormat, tools),
        async ([path, minimal], name, value) => {
          await checkAnswer(app, path, { ...minimal, [name]: value });
        },
      ),
      { numRuns: NUM_RUNS },
    );
  });
});
