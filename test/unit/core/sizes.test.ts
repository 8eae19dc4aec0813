import { expect, test } from "vitest";
import {
  GiB,
  KiB,
  MiB,
  UsageError,
  alignUp,
  formatBytes,
  parseSizeBytes,
} from "../../../src/core/index.ts";

test.each([
  [5, 5 * GiB],
  ["5", 5 * GiB],
  ["0.5", GiB / 2],
  [".5", GiB / 2],
  ["20Gi", 20 * GiB],
  ["512 MiB", 512 * MiB],
  ["512mb", 512 * MiB],
  ["64k", 64 * KiB],
  ["1000b", 1000],
  [" 1 T ", 1024 * GiB],
  ["1.5", 1.5 * GiB],
  [0, 0],
])("parseSizeBytes(%j) is %d", (text, numBytes) => {
  expect(parseSizeBytes(text, "max_local_cpu_size")).toBe(numBytes);
});

test.each(["", "abc", "-1", "5 elephants", "1e3", "NaN", "5,5"])(
  "parseSizeBytes(%j) is refused with the key, the value and what was wanted",
  (text) => {
    const parse = (): number => parseSizeBytes(text, "max_local_cpu_size");
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(/max_local_cpu_size ".*wanted a number of GB/);
  },
);

test("formatBytes() uses the unit that keeps the number short", () => {
  expect([0, 1023, 1536, 5 * GiB, 3000 * GiB].map(formatBytes)).toEqual([
    "0 B",
    "1023 B",
    "1.50 KiB",
    "5.00 GiB",
    "2.93 TiB",
  ]);
});

test("alignUp() rounds up to a multiple", () => {
  expect([0, 1, 4096, 4097].map((value) => alignUp(value, 4096))).toEqual([0, 4096, 4096, 8192]);
});
