import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { post, testApp } from "./requests.ts";

const FIELD_NAMES = [
  "model prompt messages n stream stream_options temperature top_p presence_penalty",
  "frequency_penalty logit_bias seed max_tokens max_completion_tokens stop response_format top_k",
  "min_p repetition_penalty min_tokens stop_token_ids ignore_eos cache_salt kv_transfer_params",
  "priority request_id echo logprobs top_logprobs best_of suffix tools tool_choice user metadata",
  "add_special_tokens add_generation_prompt chat_template_kwargs tokens",
].flatMap((line) => line.split(" "));

const number = fc.oneof(
  fc.integer({ min: -2, max: 300 }),
  fc.double(),
  fc.constantFrom(Number.MAX_VALUE, 2 ** 31, 2 ** 53),
);
const prompt = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(fc.nat(258), { maxLength: 8 }),
  fc.array(fc.string(), { maxLength: 4 }),
  fc.array(fc.array(fc.nat(258), { minLength: 1 }), { maxLength: 4 }),
);
const message = fc.record(
  {
    role: fc.constantFrom("system", "developer", "user", "assistant", "tool"),
    content: fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(fc.record({ type: fc.constantFrom("text", "image_url"), text: fc.string() })),
      fc.constant(null),
    ),
  },
  { requiredKeys: ["role"] },
);
const anyValue = fc.oneof(
  number,
  fc.boolean(),
  fc.string(),
  fc.constant(null),
  fc.constantFrom({ include_usage: true }, { type: "text" }, { "5": 1 }),
  fc.jsonValue({ maxDepth: 4 }),
  prompt,
);
const wrongFields = fc.dictionary(fc.constantFrom(...FIELD_NAMES), anyValue, { maxKeys: 2 });
const rightFields = fc.record(
  {
    n: fc.integer({ min: 1, max: 8 }),
    stream: fc.boolean(),
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    top_k: fc.integer({ min: -1, max: 50 }),
    logit_bias: fc.dictionary(fc.nat(257).map(String), fc.integer({ min: -100, max: 100 })),
    seed: fc.maxSafeInteger(),
    max_tokens: fc.integer({ min: 5, max: 60 }),
    min_tokens: fc.nat(5),
    stop: fc.oneof(fc.string({ minLength: 1 }), fc.array(fc.string({ minLength: 1 }))),
    stop_token_ids: fc.array(fc.nat(257)),
    kv_transfer_params: fc.dictionary(fc.string(), fc.jsonValue()),
    cache_salt: fc.string({ minLength: 1, unit: "binary" }),
    user: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const fields = fc
  .tuple(rightFields, fc.option(wrongFields, { nil: {}, freq: 1 }))
  .map(([right, wrong]) => ({ ...right, ...wrong }));
const question = fc.oneof(
  fc.tuple(fc.constant("/v1/completions"), fc.record({ prompt }), fields),
  fc.tuple(
    fc.constant("/v1/chat/completions"),
    fc.record({ messages: fc.array(message, { maxLength: 4 }) }),
    fields,
  ),
  fc.tuple(fc.constant("/tokenize"), fc.record({ prompt }), fc.constant({})),
  fc.tuple(fc.constant("/detokenize"), fc.record({ tokens: prompt }), wrongFields),
);
const request = fc.oneof(
  {
    weight: 9,
    arbitrary: question.map(([path, base, more]) => ({
      path,
      body: { ...base, ...more } as unknown,
    })),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      path: fc.constantFrom("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"),
      body: fc.jsonValue() as fc.Arbitrary<unknown>,
    }),
  },
);

describe("random bodies", () => {
  it("never crash the server and never get a 500", async () => {
    const { app, engine } = testApp({ reply: () => "x".repeat(40), model: { maxModelLen: 64 } });
    const numByStatus = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(request, async ({ path, body }) => {
        const response = await post(app, path, JSON.stringify(body));
        numByStatus.set(response.status, (numByStatus.get(response.status) ?? 0) + 1);
        expect([200, 400, 404]).toContain(response.status);
        const text = await response.text();
        expect(text).not.toContain("server_error");
        if (response.status !== 200) expect(JSON.parse(text).error.message).toMatch(/\w/);
        expect(engine.numActive).toBe(0);
      }),
      { numRuns: 2000 },
    );
    // Not all of them died at the door.
    expect(numByStatus.get(200)).toBeGreaterThan(200);
    expect(numByStatus.get(400)).toBeGreaterThan(200);
  });
});
