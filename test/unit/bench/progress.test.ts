import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Progress } from "../../../src/bench/progress.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const clock = { nowMs: () => Date.now(), wallMs: () => Date.now() };

test("Progress shows what is going on and for how long, on a terminal", () => {
  const written: string[] = [];
  using progress = new Progress({ isTTY: true, write: (text) => written.push(text) }, clock);
  progress.show("computing");
  vi.advanceTimersByTime(3000);
  expect(written.at(-1)).toMatch(/computing 3 s$/);
  progress.show("loading");
  expect(written.at(-1)).toMatch(/loading$/);
  progress.hide();
  expect(written.at(-1)).toBe("\r\u001b[K");
  const numWritten = written.length;
  vi.advanceTimersByTime(3000);
  expect(written.length).toBe(numWritten);
});

test("Progress is silent where there is no terminal", () => {
  const written: string[] = [];
  using progress = new Progress({ isTTY: false, write: (text) => written.push(text) }, clock);
  progress.show("computing");
  vi.advanceTimersByTime(3000);
  progress.hide();
  expect(written).toEqual([]);
});
