import { describe, expect, it } from "vitest";
import { ProgressLine } from "../../../src/cli/progress.ts";

function setUp(isTTY: boolean): {
  line: ProgressLine;
  shown: () => string;
  advance: (ms: number) => void;
} {
  let text = "";
  let nowMs = 0;
  const output = { isTTY, write: (piece: string) => void (text += piece) };
  const line = new ProgressLine("Writing", output, { nowMs: () => nowMs, wallMs: () => 0 });
  const advance = (ms: number): void => void (nowMs += ms);
  const shown = (): string => text.replaceAll("\r", "").replaceAll("\u001b[K", "|");
  return { line, shown, advance };
}

describe("ProgressLine", () => {
  it("is silent for the first two seconds, and clears nothing it has not written", () => {
    const { line, shown, advance } = setUp(true);
    advance(1999);
    line.update(100, 200);
    line[Symbol.dispose]();
    expect(shown()).toBe("");
  });

  it("shows how far it is, five times a second at most, and takes the line away", () => {
    const { line, shown, advance } = setUp(true);
    advance(2000);
    line.update(1024, 4096);
    advance(100);
    line.update(1100, 4096);
    advance(100);
    line.update(2200, undefined);
    line[Symbol.dispose]();
    expect(shown()).toBe(
      "|Writing 1.00 KiB of 4.00 KiB (25 %), 512 B/s|Writing 2.15 KiB, 1000 B/s|",
    );
  });

  it("is silent without a terminal", () => {
    const { line, shown, advance } = setUp(false);
    advance(5000);
    line.update(1, 2);
    line[Symbol.dispose]();
    expect(shown()).toBe("");
  });
});
