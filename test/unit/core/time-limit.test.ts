import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { isDoneWithin } from "../../../src/core/index.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("work that ends in time is done, and leaves no timer", async () => {
  const work = new Promise((resolve) => setTimeout(resolve, 99));
  const isDone = isDoneWithin(100, work);
  await vi.advanceTimersByTimeAsync(99);
  expect(await isDone).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("work that does not end in time is not done", async () => {
  const isDone = isDoneWithin(100, new Promise(() => {}));
  await vi.advanceTimersByTimeAsync(100);
  expect(await isDone).toBe(false);
});

test("work that fails in time rejects, and leaves no timer", async () => {
  await expect(isDoneWithin(100, Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(vi.getTimerCount()).toBe(0);
});

test("work that fails late is nobody's business", async () => {
  const work = new Promise((_, reject) => setTimeout(() => reject(new Error("late")), 200));
  const isDone = isDoneWithin(100, work);
  await vi.advanceTimersByTimeAsync(300);
  expect(await isDone).toBe(false);
});

test.each([Infinity, 2 ** 31])(
  "a limit of %d ms, longer than a timer's, is a long one",
  async (limitMs) => {
    const work = new Promise((resolve) => setTimeout(resolve, 60_000));
    const isDone = isDoneWithin(limitMs, work);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await isDone).toBe(true);
  },
);
