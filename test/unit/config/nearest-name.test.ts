import fc from "fast-check";
import { expect, test } from "vitest";
import { nameDistance, nearestName } from "../../../src/config/nearest-name.ts";

test.each([
  ["kitten", "sitting", 3],
  ["flaw", "lawn", 2],
  ["", "abc", 3],
  ["Chunk-Size", "chunk_size", 0],
])("nameDistance(%j, %j) is %d", (a, b, distance) => {
  expect(nameDistance(a, b)).toBe(distance);
});

test("nameDistance() is symmetric, and zero for equal names only", () => {
  const names = fc.stringMatching(/^[a-z]{0,12}$/);
  fc.assert(
    fc.property(names, names, (a, b) => {
      expect(nameDistance(a, b)).toBe(nameDistance(b, a));
      expect(nameDistance(a, b) === 0).toBe(a === b);
      expect(nameDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
});

test("nearestName() finds the closest, and nothing when half of the letters differ", () => {
  const names = ["local_cpu", "local_disk", "chunk_size"];
  expect(nearestName("local_disc", names)).toBe("local_disk");
  expect(nearestName("abcd", ["abxy"])).toBe("abxy");
  expect(nearestName("abcd", ["axyz"])).toBeUndefined();
  expect(nearestName("prefetch", names)).toBeUndefined();
});
