import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TextStream } from "../../../src/engine/text-stream.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "utf8");

describe("TextStream", () => {
  it("holds back the bytes of a character until it is whole", () => {
    const stream = new TextStream([]);
    const [a, b, c, d] = bytes("😀");
    expect(stream.push(Uint8Array.of(a!, b!))).toBe("");
    expect(stream.push(Uint8Array.of(c!))).toBe("");
    expect(stream.push(Uint8Array.of(d!))).toBe("😀");
  });

  it("gives a broken character as U+FFFD at the end", () => {
    const stream = new TextStream([]);
    expect(stream.push(Uint8Array.of(0xf0, 0x9f))).toBe("");
    expect(stream.end()).toBe("\ufffd");
  });

  it("cuts at a stop string that comes in pieces", () => {
    const stream = new TextStream(["###"]);
    expect(stream.push(bytes("one #"))).toBe("one ");
    expect(stream.push(bytes("#"))).toBe("");
    expect(stream.push(bytes("# two"))).toBe("");
    expect(stream.stoppedBy).toBe("###");
    expect(stream.push(bytes("three"))).toBe("");
    expect(stream.end()).toBe("");
  });

  it("keeps the stop string where it is a part of the text", () => {
    const stream = new TextStream(["zz", "##"], true);
    expect(stream.push(bytes("one #"))).toBe("one ");
    expect(stream.push(bytes("# two zz"))).toBe("##");
    expect(stream.stoppedBy).toBe("##");
    expect(stream.end()).toBe("");
  });

  it("releases what looked like a stop string and was none", () => {
    const stream = new TextStream(["###"]);
    expect(stream.push(bytes("a##"))).toBe("a");
    expect(stream.push(bytes("b"))).toBe("##b");
  });

  it("takes the stop string that comes first in the text", () => {
    const stream = new TextStream(["later", "now"]);
    expect(stream.push(bytes("stop now or later"))).toBe("stop ");
  });

  it("sends the same text however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 40 }),
        fc.array(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 60 }),
        (text, stops, cuts) => {
          const all = bytes(text);
          const whole = new TextStream(stops);
          const expected = whole.push(all) + whole.end();
          const stream = new TextStream(stops);
          let actual = "";
          for (let at = 0, i = 0; at < all.length; i++) {
            const length = cuts[i % cuts.length]!;
            actual += stream.push(all.subarray(at, at + length));
            at += length;
          }
          expect(actual + stream.end()).toBe(expected);
        },
      ),
    );
  });
});
