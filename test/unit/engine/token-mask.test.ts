import { expect, test } from "vitest";
import { TokenMask } from "../../../src/engine/llama/token-mask.ts";
import { defaultSamplingParams } from "../../../src/engine/sampling-params.ts";

function maskOf(params: { bannedSequences?: number[][]; allowedTokens?: number[] }): TokenMask {
  const { bannedSequences = [], allowedTokens } = params;
  return TokenMask.of({
    ...defaultSamplingParams,
    bannedSequences: bannedSequences.map((tokens) => Int32Array.from(tokens)),
    allowedTokens: allowedTokens && Int32Array.from(allowedTokens),
  })!;
}

/** The tokens that may be picked next, of a vocabulary of five. */
function left(mask: TokenMask): number[] {
  const logits = new Float32Array(5);
  const isAnyLeft = mask.apply(logits);
  const tokens = [...logits.keys()].filter((token) => logits[token]! > -Infinity);
  expect(isAnyLeft).toBe(tokens.length > 0);
  return tokens;
}

test("TokenMask.of() is nothing where every token may be picked", () => {
  expect(TokenMask.of(defaultSamplingParams)).toBeUndefined();
});

test("TokenMask.apply() leaves the allowed tokens", () => {
  expect(left(maskOf({ allowedTokens: [3, 1] }))).toEqual([1, 3]);
});

test("TokenMask.apply() takes the last token of a banned sequence away where the others have come", () => {
  const mask = maskOf({ bannedSequences: [[1, 2, 3], [2, 0], [4]] });
  expect(left(mask)).toEqual([0, 1, 2, 3]);
  mask.accept(1);
  expect(left(mask)).toEqual([0, 1, 2, 3]);
  mask.accept(2);
  expect(left(mask)).toEqual([1, 2]);
  mask.accept(1);
  mask.accept(0);
  expect(left(mask)).toEqual([0, 1, 2, 3]);
});

test("TokenMask.apply() says when nothing is left", () => {
  expect(left(maskOf({ allowedTokens: [2], bannedSequences: [[2], []] }))).toEqual([]);
});
