import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  LM_CODES,
  LM_COMMANDS,
  LM_EXTENSIONS,
  LM_MAX_NAMES,
  LM_NO_VALUE,
  decodeLmNames,
  decodeLmReply,
  encodeLmNames,
  encodeLmReply,
  encodeLmRequest,
  isLmProof,
  lmHello,
  lmHelloReply,
  lmProof,
  lmReplyWithout,
  lmRequestBytes,
  readLmHelloReply,
} from "../../../src/protocol/index.ts";

const protocolError = expect.objectContaining({ name: "ConnectionError", code: "protocol" });

describe("lm:// extensions", () => {
  test("no number of ours is one of LMCache's, nor near", () => {
    const numbers = Object.values(LM_EXTENSIONS);
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const number of numbers) expect(number).toBeGreaterThan(1_000_000_000);
    expect(Math.max(...Object.values(LM_COMMANDS))).toBeLessThan(100);
  });

  test("hello is a request without a body whose key LMCache's servers can parse, old and new", () => {
    const hello = lmHello();
    expect(hello).toMatchObject({ ...LM_NO_VALUE, byteLength: 0, shape: [2, 0, 0, 0] });
    const [model, worldSize, workerId, hash, dtype] = hello.key.split("@");
    expect([model, Number(worldSize), Number(workerId), parseInt(hash!, 16), dtype]).toEqual([
      "warmkv",
      1,
      0,
      0,
      "uint8",
    ]);
    expect(encodeLmRequest(hello)).toHaveLength(lmRequestBytes("current"));
  });

  test("the reply to hello says whether a token is wanted, and is no reply to anything else", () => {
    const nonce = randomBytes(16);
    for (const hello of [
      { version: 1, nonce: undefined },
      { version: 7, nonce },
    ]) {
      const reply = decodeLmReply(encodeLmReply(lmHelloReply(hello)));
      expect(readLmHelloReply(reply)).toEqual(hello);
    }
    expect(readLmHelloReply(lmReplyWithout(LM_CODES.success))).toBeUndefined();
    expect(readLmHelloReply(lmReplyWithout(LM_CODES.fail))).toBeUndefined();
  });

  test("a proof is right for one token and one nonce", () => {
    const nonce = randomBytes(16);
    const proof = lmProof("secret", nonce);
    expect(isLmProof(proof, "secret", nonce)).toBe(true);
    expect(isLmProof(proof, "Secret", nonce)).toBe(false);
    expect(isLmProof(proof, "secret", randomBytes(16))).toBe(false);
    for (const wrong of ["", proof.slice(1), `${proof}0`, "secret", proof.toUpperCase(), "ü"]) {
      expect(isLmProof(wrong, "secret", nonce)).toBe(false);
    }
    expect(proof).not.toContain("secret");
  });

  test("names are read as they were written", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" })), (names) => {
        expect(decodeLmNames(encodeLmNames(names))).toEqual(names);
      }),
    );
  });

  test("any bytes are names or a protocol error, and never too many", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (garbage) => {
        try {
          decodeLmNames(garbage);
        } catch (error) {
          expect(error).toEqual(protocolError);
        }
      }),
      { numRuns: 2000 },
    );
    expect(() => decodeLmNames(new Uint8Array(2 * (LM_MAX_NAMES + 1)))).toThrow(protocolError);
    expect(decodeLmNames(new Uint8Array(2 * LM_MAX_NAMES))).toHaveLength(LM_MAX_NAMES);
  });
});
