import { expect, test } from "vitest";
import { ChatTemplate } from "../../../src/engine/chat-template.ts";
import { createApp } from "../../../src/server/index.ts";
import { SpokenTurns } from "../../../src/server/spoken-turns.ts";
import { FakeEngine } from "./fake-engine.ts";
import { postJson } from "./requests.ts";

test("SpokenTurns finds the longest conversation that ends where a turn ends", () => {
  const turns = new SpokenTurns();
  turns.remember("a", Int32Array.of(1));
  turns.remember("a;b", Int32Array.of(1, 2, 3));
  turns.remember("a;c", Int32Array.of(9));
  expect(turns.find("a;b;d", ";")).toEqual({ numCharacters: 3, tokens: Int32Array.of(1, 2, 3) });
  expect(turns.find("a;bd;", ";")).toEqual({ numCharacters: 1, tokens: Int32Array.of(1) });
  expect(turns.find("ab;", ";")).toBeUndefined();
});

test("SpokenTurns gives up what was used longest ago", () => {
  const turns = new SpokenTurns(6);
  turns.remember("aa", Int32Array.of(1));
  turns.remember("bb", Int32Array.of(2));
  expect(turns.find("aa;", ";")).toBeDefined();
  turns.remember("ccc", Int32Array.of(3));
  expect(turns.find("bb;", ";")).toBeUndefined();
  expect(turns.find("aa;", ";")).toBeDefined();
  turns.remember("too long to be kept", Int32Array.of(4));
  expect(turns.find("too long to be kept;", ";")).toBeUndefined();
});

/** Splits "HI" into one token where the model has written two. */
class MergingEngine extends FakeEngine {
  override async tokenize(
    text: string,
    options: { readonly addSpecial: boolean },
  ): Promise<Int32Array> {
    const tokens = [...(await super.tokenize(text, options))];
    for (let at = 0; at < tokens.length; at++) {
      if (tokens[at] === 72 && tokens[at + 1] === 73) tokens.splice(at, 2, 250);
    }
    return Int32Array.from(tokens);
  }
}

test.each([true, false])(
  "a next turn has the tokens that were spoken: %s",
  async (remembersTurns) => {
    const engine = new MergingEngine({ reply: () => "HI", model: { eosText: ";" } });
    const template = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}assistant:";
    const app = createApp({
      engine,
      servedModelNames: ["fake"],
      version: "1",
      chatTemplate: new ChatTemplate(template, engine.model),
      remembersTurns,
    });
    const messages = [{ role: "user", content: "hello" }];
    const first = await postJson(app, "/v1/chat/completions", { messages });
    messages.push(first.choices[0].message, { role: "user", content: "more" });
    await postJson(app, "/v1/chat/completions", { messages });
    const [before, after] = engine.requests.map(({ promptTokens }) => [...promptTokens]);
    const spoken = remembersTurns ? [72, 73] : [250];
    expect(after!.slice(0, before!.length + spoken.length)).toEqual([...before!, ...spoken]);
    expect(after!.length).toBe(before!.length + spoken.length + ";user:more;assistant:".length);
  },
);
