import { expect, test } from "vitest";
import { NullTier } from "../../../src/tiers/index.ts";
import { makePool, promptChunks, storeChunks } from "./chunk-fixtures.ts";

test("NullTier finds and keeps nothing", async () => {
  await using tier = new NullTier();
  const pool = makePool(3);
  const specs = promptChunks(1, 3);
  expect(await storeChunks(tier, pool, specs)).toBe(0);
  expect(await tier.lookup()).toBe(0);
  using lease = await tier.acquire();
  expect(lease.keys).toEqual([]);
  expect(await lease.load(0, new AbortController().signal).next()).toEqual({
    done: true,
    value: undefined,
  });
  expect(await tier.remove()).toBe(0);
  expect(await tier.clear()).toBe(0);
  expect(tier.stats()).toMatchObject({ numChunks: 0, usedBytes: 0 });
  pool.assertAllFree();
});
