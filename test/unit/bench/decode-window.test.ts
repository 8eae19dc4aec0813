import { expect, test } from "vitest";
import { decodeWindow, wholeTokensPerSecond } from "../../../src/bench/decode-window.ts";
import type { TokenStream } from "../../../src/bench/token-stream.ts";

function stream(arrivalsMs: number[], more: Partial<TokenStream> = {}): TokenStream {
  return {
    sentMs: 0,
    arrivalsMs,
    numTokens: arrivalsMs.length,
    numPromptTokens: 10,
    numCachedTokens: 0,
    ...more,
  };
}

test("of one client all tokens behind the first count", () => {
  expect(decodeWindow([stream([100, 110, 125, 150])])).toEqual({
    durationMs: 50,
    numTokens: 3,
    waitsMs: [10, 15, 25],
  });
});

test("of several clients what comes counts while all of them decode", () => {
  const window = decodeWindow([stream([100, 200, 300, 400]), stream([250, 310, 390, 500, 600])]);
  // From 250 to 400: 300 and 400 of the first, 310 and 390 of the second.
  expect(window).toEqual({ durationMs: 150, numTokens: 4, waitsMs: [100, 100, 60, 80] });
});

test("a client that begins when another has ended leaves no window", () => {
  expect(decodeWindow([stream([10, 20]), stream([20, 30])])).toBeUndefined();
  expect(decodeWindow([stream([10])])).toBeUndefined();
});

test("an event counts as many tokens as the server made of each, on average", () => {
  const window = decodeWindow([stream([0, 10, 20, 30], { numTokens: 12 }), stream([0, 10, 20])]);
  expect(window).toMatchObject({ durationMs: 20, numTokens: 2 * 3 + 2 });
});

test("the whole goes from the first request to the last token", () => {
  const streams = [
    stream([100, 300], { sentMs: 50, numTokens: 20 }),
    stream([200, 550], { sentMs: 60, numTokens: 30 }),
  ];
  expect(wholeTokensPerSecond(streams)).toBe(100);
});
