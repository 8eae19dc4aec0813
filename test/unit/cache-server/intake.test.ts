import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Intake } from "../../../src/cache-server/intake.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("Intake lets in what fits, and the others in the order they came", async () => {
  const intake = new Intake(100, 1000);
  const first = (await intake.enter(60))!;
  const order: string[] = [];
  const second = intake.enter(50);
  const third = intake.enter(10);
  void second.then(() => order.push("second"));
  void third.then(() => order.push("third"));
  await vi.advanceTimersByTimeAsync(10);
  expect(order).toEqual([]);
  first[Symbol.dispose]();
  await vi.advanceTimersByTimeAsync(10);
  expect(order).toEqual(["second", "third"]);
  expect(intake.usedBytes).toBe(60);
});

test("Intake lets something larger than its bound in alone", async () => {
  const intake = new Intake(100, 1000);
  using large = await intake.enter(500);
  expect(large).toBeDefined();
  const next = intake.enter(1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(await next).toBeUndefined();
});

test("Intake.close() ends all waiting", async () => {
  const intake = new Intake(100, 1000);
  using _ = await intake.enter(100);
  const waiting = [intake.enter(1), intake.enter(2)];
  intake.close();
  expect(await Promise.all(waiting)).toEqual([undefined, undefined]);
});
