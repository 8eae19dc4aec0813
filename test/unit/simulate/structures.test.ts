import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockTable } from "../../../src/simulate/block-table.ts";
import { MaxHeap } from "../../../src/simulate/max-heap.ts";
import { NumberList } from "../../../src/simulate/number-list.ts";
import { SeededRandom } from "../../../src/simulate/random.ts";

describe("BlockTable", () => {
  it("tells what was there before, as a Map does", () => {
    const block = fc.oneof(fc.nat(50), fc.maxSafeNat());
    fc.assert(
      fc.property(fc.array(fc.tuple(block, fc.nat(1e9)), { maxLength: 300 }), (entries) => {
        const table = new BlockTable();
        const map = new Map<number, number>();
        for (const [each, value] of entries) {
          expect(table.exchange(each, value)).toBe(map.get(each));
          map.set(each, value);
        }
        expect(table.size).toBe(map.size);
      }),
    );
  });

  it("grows", () => {
    const table = new BlockTable();
    for (let block = 0; block < 10_000; block++) table.exchange(block * 2 ** 33, block);
    for (let block = 0; block < 10_000; block++) {
      expect(table.exchange(block * 2 ** 33, 0)).toBe(block);
    }
    expect(table.size).toBe(10_000);
  });
});

describe("MaxHeap", () => {
  it("gives the largest first, without those that were dropped", () => {
    const numbers = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 3000 });
    fc.assert(
      fc.property(numbers, fc.integer({ min: 0, max: 2 ** 32 - 1 }), (values, bound) => {
        const heap = new MaxHeap();
        for (const value of values) heap.push(value);
        heap.dropBelow(bound);
        const popped: number[] = [];
        while (heap.size > 0) popped.push(heap.pop());
        expect(popped).toEqual(values.filter((value) => value >= bound).sort((a, b) => b - a));
      }),
    );
  });
});

describe("NumberList", () => {
  it("keeps what was pushed and set while it grows", () => {
    const list = new NumberList();
    for (let value = 0; value < 5000; value++) list.push(value);
    list.set(7, 2 ** 32 - 1);
    expect([list.length, list.at(0), list.at(7), list.at(4999)]).toEqual([
      5000,
      0,
      2 ** 32 - 1,
      4999,
    ]);
  });
});

describe("SeededRandom", () => {
  const draw = (seed: number, pick: (random: SeededRandom) => number): number[] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 20_000 }, () => pick(random));
  };
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;

  it("gives the same numbers for the same seed", () => {
    const next = (random: SeededRandom): number => random.next();
    expect(draw(7, next)).toEqual(draw(7, next));
    expect(draw(7, next)).not.toEqual(draw(8, next));
  });

  it("has the distributions it says", () => {
    expect(mean(draw(1, (random) => random.next()))).toBeCloseTo(0.5, 1);
    expect(mean(draw(1, (random) => random.exponential(10)))).toBeCloseTo(10, 0);
    const logNormal = draw(1, (random) => random.logNormal(100, 2)).sort((a, b) => a - b);
    expect(logNormal[10_000]).toBeGreaterThan(95);
    expect(logNormal[10_000]).toBeLessThan(105);
    const zipf = draw(1, (random) => random.zipf(50));
    const count = (value: number): number => zipf.filter((each) => each === value).length;
    expect(Math.min(...zipf)).toBe(0);
    expect(Math.max(...zipf)).toBe(49);
    expect(count(0)).toBeGreaterThan(1.5 * count(1));
    expect(count(1)).toBeGreaterThan(count(9));
  });
});
