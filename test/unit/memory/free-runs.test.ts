import fc from "fast-check";
import { expect, test } from "vitest";
import { FreeRuns } from "../../../src/memory/free-runs.ts";

/** The same by looking at every slab. */
function findLastSlowly(isFree: readonly boolean[], length: number): number | undefined {
  for (let start = isFree.length - length; start >= 0; start--) {
    if (isFree.slice(start, start + length).every(Boolean)) return start;
  }
  return undefined;
}

test("FreeRuns finds the highest free run of any length, whatever was taken and released", () => {
  const step = fc.record({ start: fc.nat(39), length: fc.integer({ min: 1, max: 12 }) });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(step, { maxLength: 60 }),
      (numSlabs, steps) => {
        const runs = new FreeRuns(numSlabs);
        const isFree = Array.from({ length: numSlabs }, () => true);
        for (const { start, length } of steps) {
          if (start + length > numSlabs) continue;
          const wasFree = isFree[start]!;
          if (wasFree) runs.take(start, length);
          else runs.release(start, length);
          isFree.fill(!wasFree, start, start + length);
          expect(isFree.map((_, slab) => runs.isFree(slab))).toEqual(isFree);
          for (let wanted = 1; wanted <= numSlabs; wanted++) {
            expect(runs.findLast(wanted)).toBe(findLastSlowly(isFree, wanted));
          }
        }
      },
    ),
  );
});
