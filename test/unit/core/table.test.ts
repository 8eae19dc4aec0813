import { expect, test } from "vitest";
import { tableLines } from "../../../src/core/index.ts";

const ROWS = [
  ["TIER", "CHUNKS", "NOTE"],
  ["LocalCPUBackend", "5", ""],
  ["Disk", "1000000", "away"],
];

test("the first column stands to the left and the others to the right", () => {
  expect(tableLines(ROWS)).toEqual([
    "TIER              CHUNKS  NOTE",
    "LocalCPUBackend        5",
    "Disk             1000000  away",
  ]);
});

test("all columns may stand to the left", () => {
  expect(tableLines(ROWS, { others: "left" })).toEqual([
    "TIER             CHUNKS   NOTE",
    "LocalCPUBackend  5",
    "Disk             1000000  away",
  ]);
});

test("no rows are no lines", () => {
  expect(tableLines([])).toEqual([]);
});
