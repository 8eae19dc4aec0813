import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutPrompt, readBundledText } from "../../../src/bench/prompt-text.ts";

const HEADING = "Copy 0123.\n\n";

const countBytes = async (text: string): Promise<number> => text.length;
const countWords = async (text: string): Promise<number> =>
  text.match(/\w+|[^\w\s]|\s+/g)?.length ?? 0;
/** Grows by two at a time: odd numbers cannot be hit. */
const countPairs = async (text: string): Promise<number> => 2 * Math.ceil(text.length / 3);

describe("cutPrompt()", () => {
  test("hits every length exactly where a byte is a token", async () => {
    const source = await readBundledText();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: HEADING.length, max: 20_000 }), async (numTokens) => {
        const prompt = await cutPrompt(source, HEADING, numTokens, countBytes);
        expect(prompt.numTokens).toBe(numTokens);
        expect(prompt.text).toBe((HEADING + source).slice(0, numTokens));
      }),
    );
  });

  test("hits every length exactly with tokens of uneven size, in few questions", async () => {
    const source = await readBundledText();
    let numQuestions = 0;
    const numRuns = 100;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 20, max: 30_000 }), async (numTokens) => {
        const prompt = await cutPrompt(source, HEADING, numTokens, (text) => {
          numQuestions++;
          return countWords(text);
        });
        expect(prompt.numTokens).toBe(numTokens);
        expect(await countWords(prompt.text)).toBe(numTokens);
      }),
      { numRuns },
    );
    expect(numQuestions / numRuns).toBeLessThan(15);
  });

  test("takes the longest cut below a length that cannot be hit", async () => {
    const prompt = await cutPrompt("x".repeat(500), HEADING, 101, countPairs);
    expect(prompt.numTokens).toBe(100);
    expect(await countPairs(prompt.text + "x")).toBe(102);
  });

  test("starts the source over when it is too short", async () => {
    const prompt = await cutPrompt("abc", "", 8, countBytes);
    expect(prompt.text).toBe("abcabcab");
  });

  test("refuses a length that the heading alone exceeds", async () => {
    await expect(cutPrompt("abc", HEADING, 5, countBytes)).rejects.toThrow(
      "Cannot make a prompt of 5 tokens: the heading alone takes 12",
    );
  });
});

test("the bundled text is long, plain and the work alone", async () => {
  const text = await readBundledText();
  expect(text.length).toBeGreaterThan(100_000);
  expect(text).toMatch(/^[\n\x20-\x7e]+$/);
  expect(text).not.toMatch(/gutenberg|copyright|ebook/i);
});
