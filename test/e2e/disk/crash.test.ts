import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DiskProcess, contentOf } from "./disk-process.ts";

/** More of them by hand: WARMKV_CRASH_ROUNDS=200 npx vitest run --project e2e test/e2e/disk */
const numRounds = Number(process.env["WARMKV_CRASH_ROUNDS"] ?? 20);
/** A third of what the child stores. */
const maxSizeBytes = 12 << 20;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-crash-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test(`killed ${numRounds} times while storing: what is served is whole, the bound holds, nothing leaks`, async () => {
  let numServed = 0;
  let numTemporary = 0;
  for (let seed = 0; seed < numRounds; seed++) {
    const storing = new DiskProcess({ verb: "store", directory, maxSizeBytes, seed });
    await storing.ready();
    await sleep(Math.random() * 200);
    await storing.kill();
    const left = await contentOf(directory);
    expect(left.totalBytes).toBeLessThanOrEqual(maxSizeBytes);
    numTemporary += left.numTemporary;

    const verifying = new DiskProcess({ verb: "verify", directory, maxSizeBytes });
    await verifying.ready();
    const report = await verifying.report();
    expect(report).toMatchObject({ numWrong: 0, numTorn: 0, numDamaged: 0 });
    const kept = await contentOf(directory);
    expect(kept).toMatchObject({ numChunks: report.numLoaded, numTemporary: 0 });
    expect(kept.totalBytes).toBe(report.usedBytes);
    expect(kept.totalBytes).toBeLessThanOrEqual(maxSizeBytes);
    numServed += report.numLoaded;
  }
  console.log(`${numServed} chunks served, ${numTemporary} writes interrupted`);
  expect(numServed).toBeGreaterThan(numRounds);
}, 600_000);

test("two processes share a directory: each serves what the other stored, and nothing else", async () => {
  const processes = [1, 2].map(
    (seed) => new DiskProcess({ verb: "share", directory, maxSizeBytes, seed }),
  );
  await Promise.all(processes.map((each) => each.ready()));
  let isDone = false;
  let mostBytes = 0;
  const watching = (async () => {
    while (!isDone) {
      mostBytes = Math.max(mostBytes, (await contentOf(directory)).totalBytes);
      await sleep(2);
    }
  })();
  const reports = await Promise.all(processes.map((each) => each.report()));
  isDone = true;
  await watching;
  for (const report of reports) {
    expect(report.numWrong).toBe(0);
    expect(report.numLoaded).toBeGreaterThan(50);
  }
  expect(mostBytes).toBeLessThanOrEqual(2 * maxSizeBytes);

  const verifying = new DiskProcess({ verb: "verify", directory, maxSizeBytes });
  await verifying.ready();
  expect(await verifying.report()).toMatchObject({ numWrong: 0, numTorn: 0, numDamaged: 0 });
  expect((await contentOf(directory)).totalBytes).toBeLessThanOrEqual(maxSizeBytes);
});

test("a process finds at once what a living one has just stored", async () => {
  const storing = new DiskProcess({ verb: "store", directory, maxSizeBytes: 1 << 30 });
  await storing.ready();
  await expect.poll(async () => (await contentOf(directory)).numChunks).toBeGreaterThan(20);
  const verifying = new DiskProcess({ verb: "verify", directory, maxSizeBytes: 1 << 30 });
  await verifying.ready();
  const report = await verifying.report();
  await storing.kill();
  expect(report.numWrong).toBe(0);
  expect(report.numLoaded).toBeGreaterThan(20);
});
