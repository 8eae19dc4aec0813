import { expect, test } from "vitest";
import { TokenizedTexts } from "../../../src/engine/llama/tokenized-texts.ts";

const tokens = Int32Array.of(1, 2);

test("TokenizedTexts gives back what was added", () => {
  const texts = new TokenizedTexts();
  expect(texts.get("a")).toBeUndefined();
  texts.add("a", tokens);
  expect(texts.get("a")).toBe(tokens);
});

test("TokenizedTexts forgets the least recently used beyond its characters", () => {
  const texts = new TokenizedTexts(10);
  texts.add("aaaa", tokens);
  texts.add("bbbb", tokens);
  texts.get("aaaa");
  texts.add("cccc", tokens);
  expect(["aaaa", "bbbb", "cccc"].map((text) => texts.get(text) !== undefined)).toEqual([
    true,
    false,
    true,
  ]);
});

test("TokenizedTexts does not keep a text that is larger than all it may keep", () => {
  const texts = new TokenizedTexts(3);
  texts.add("aaaa", tokens);
  expect(texts.get("aaaa")).toBeUndefined();
});
