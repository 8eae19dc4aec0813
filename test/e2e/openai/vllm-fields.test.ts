import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestServer } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start("hermes", "--max-model-len", "2048");
});
afterAll(() => server[Symbol.asyncDispose]());

interface Choice {
  readonly text: string;
  readonly finish_reason: string;
  readonly stop_reason?: string | number;
  readonly token_ids: readonly number[];
  readonly logprobs?: {
    readonly tokens: readonly string[];
    readonly token_logprobs: readonly (number | null)[];
  };
  readonly prompt_logprobs?: readonly Record<string, { logprob: number; rank: number }>[];
}

async function complete(fields: object): Promise<Choice> {
  const base = { prompt: "Once upon a time", temperature: 0, max_tokens: 24 };
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...base, return_token_ids: true, ...fields }),
  });
  expect(response.status).toBe(200);
  const { choices } = (await response.json()) as { choices: [Choice] };
  return choices[0];
}

describe("vLLM's fields, by a model", () => {
  it("include_stop_str_in_output keeps what stopped the answer", async () => {
    const { text, token_ids: ids } = await complete({ ignore_eos: true });
    const stop = text.slice(8, 10);
    const end = text.indexOf(stop);
    expect(await complete({ stop })).toMatchObject({ text: text.slice(0, end), stop_reason: stop });
    expect(await complete({ stop, include_stop_str_in_output: true })).toMatchObject({
      text: text.slice(0, end + 2),
      stop_reason: stop,
    });
    const stop_token_ids = [ids[5]!];
    const byToken = await complete({ stop_token_ids, include_stop_str_in_output: true });
    expect(byToken).toMatchObject({ finish_reason: "stop", stop_reason: ids[5] });
    expect(byToken.text).toBe(text.slice(0, byToken.text.length));
    expect(byToken.token_ids).toEqual(ids.slice(0, ids.indexOf(ids[5]!) + 1));
  });

  it.each([0, 1])("bad_words never come, at temperature %d", async (temperature) => {
    const { text } = await complete({ ignore_eos: true });
    const bad_words = [text.slice(0, 1), text.slice(3, 5)];
    const other = await complete({ bad_words, ignore_eos: true, temperature, seed: 7 });
    expect(other.token_ids).toHaveLength(24);
    for (const word of bad_words) expect(other.text).not.toContain(word);
  });

  it.each([0, 1])(
    "allowed_token_ids are all that comes, at temperature %d",
    async (temperature) => {
      const allowed = [40, 41, 42];
      const { token_ids: ids } = await complete({ allowed_token_ids: allowed, temperature });
      expect(ids).toHaveLength(24);
      expect(new Set(allowed)).toEqual(new Set([...allowed, ...ids]));
    },
  );

  it("an answer ends where nothing is allowed", async () => {
    const fields = { allowed_token_ids: [40], bad_words: ["("], logit_bias: { "40": -100 } };
    const { finish_reason: reason } = await complete({ ...fields, min_tokens: 0 });
    expect(["stop", "length"]).toContain(reason);
  });

  it("prompts are scored as they were written, in one pass, beside others", async () => {
    const begin = [60, 61, 62, 63, 64];
    const written = { prompt: begin, max_tokens: 400, logprobs: 1, ignore_eos: true };
    const { token_ids: ids, logprobs } = await complete(written);
    const prompt = [...begin, ...ids];
    const score = { prompt, echo: true, logprobs: 1, prompt_logprobs: 2, max_tokens: 1 };
    const [scored] = await Promise.all([
      complete(score),
      complete({ ignore_eos: true, max_tokens: 100 }),
      complete({ ...score, prompt: [...prompt].reverse() }),
    ]);
    expect(scored.logprobs!.tokens).toHaveLength(406);
    for (const [i, logprob] of logprobs!.token_logprobs.entries()) {
      // One by one and in wide steps weights of eight bits round otherwise: see Numerics.
      expect(Math.abs(scored.logprobs!.token_logprobs[5 + i]! - logprob!)).toBeLessThan(0.25);
      const { [ids[i]!]: own } = scored.prompt_logprobs![5 + i]!;
      expect(own!.logprob).toBe(scored.logprobs!.token_logprobs[5 + i]);
    }
    // Greedy: what was written was the likeliest, but for ties that round another way.
    const ranks = ids.map((id, i) => scored.prompt_logprobs![5 + i]![id]!.rank);
    expect(ranks.filter((rank) => rank === 1).length).toBeGreaterThan(360);
  });

  it("a format is kept to", async () => {
    const outputs = { choice: ["red", "green"] };
    const { text, finish_reason: reason } = await complete({ structured_outputs: outputs });
    expect(["red", "green"]).toContain(text);
    expect(reason).toBe("stop");
    expect((await complete({ guided_regex: "[a-f]{3}-\\d{2}" })).text).toMatch(/^[a-f]{3}-\d\d$/);
  });
});
