import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { KvRequest } from "../../../src/connector/index.ts";
import { PrefillClaims, type PrefillTurn } from "../../../src/connector/prefill-claims.ts";
import {
  type ChunkKey,
  ClaimTable,
  type Clock,
  silentLogger,
  subscribe,
} from "../../../src/core/index.ts";

const TTL_MS = 1_000;
const MAX_WAIT_MS = 10_000;

/** Timers and this clock are advanced together. */
const clock: Clock = { nowMs: () => Date.now(), wallMs: () => Date.now() };

/** What engines share: chunks, and claims of them. */
class SharedTier {
  readonly stored = new Set<string>();
  readonly table = new ClaimTable(clock, 1000);
  numClaims = 0;
  isAway = false;
  /** Puts under way. */
  pending: Promise<void> = Promise.resolve();
  readonly claims = {
    claim: async (
      keys: readonly string[],
      owner: string,
      ttlMs: number,
    ): Promise<number | undefined> => {
      this.numClaims++;
      return this.isAway ? undefined : this.table.claim(keys, owner, ttlMs);
    },
    settled: (): Promise<void> => this.pending,
    release: async (keys: readonly string[], owner: string): Promise<void> => {
      this.table.release(keys, owner);
    },
  };

  async lookup(keys: readonly string[]): Promise<number> {
    const gap = keys.findIndex((key) => !this.stored.has(key));
    return gap < 0 ? keys.length : gap;
  }
}

describe("PrefillClaims", () => {
  let tier: SharedTier;
  let opened: PrefillClaims[];
  let nextId = 0;

  beforeEach(() => {
    vi.useFakeTimers();
    tier = new SharedTier();
    opened = [];
  });
  afterEach(async () => {
    const closing = Promise.all(opened.map((each) => each.close()));
    await vi.advanceTimersByTimeAsync(2_000);
    await closing;
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  const engine = (): PrefillClaims => {
    const claims = new PrefillClaims({
      tiers: tier,
      ttlMs: TTL_MS,
      clock,
      random: () => 0.5,
      logger: silentLogger,
    });
    opened.push(claims);
    return claims;
  };
  const newRequest = (): KvRequest => {
    const tokens = new Int32Array(0);
    return { id: `r${nextId++}`, tokens, numPromptTokens: 0, priority: 0 };
  };
  const turn = (keys: readonly string[], fields: Partial<PrefillTurn> = {}): PrefillTurn => ({
    keys: keys as readonly ChunkKey[],
    numStored: 0,
    isWorthIt: (numStored) => numStored < keys.length,
    maxWaitMs: MAX_WAIT_MS,
    signal: undefined,
    ...fields,
  });
  const keys = ["a", "b", "c", "d"];
  /** What `enter` has resolved to so far. */
  function watch(entering: Promise<number | undefined>): { answer?: number | undefined } {
    const seen: { answer?: number | undefined } = {};
    void entering.then((answer) => (seen.answer = answer));
    return seen;
  }

  test("the first does not wait; the second waits until all is stored, and claims nothing", async () => {
    const [one, other] = [engine(), engine()];
    const [first, second] = [newRequest(), newRequest()];
    const waits: number[] = [];
    const stop = subscribe("warmkv:claim:waited", ({ numChunks }) => waits.push(numChunks));
    expect(await one.enter(first, turn(keys))).toBeUndefined();
    expect(one.holds(first)).toBe(true);
    const seen = watch(other.enter(second, turn(keys)));
    for (const key of keys) {
      await vi.advanceTimersByTimeAsync(2 * TTL_MS);
      expect(seen).toEqual({});
      tier.stored.add(key);
    }
    await vi.advanceTimersByTimeAsync(200);
    expect(seen.answer).toBeGreaterThan(8 * TTL_MS - 1);
    expect(other.holds(second)).toBe(false);
    expect(waits).toEqual([4]);
    stop();
  });

  test("who comes later and finds a part of it stored waits as well", async () => {
    const [one, other] = [engine(), engine()];
    await one.enter(newRequest(), turn(keys));
    await vi.advanceTimersByTimeAsync(0);
    tier.stored.add("a");
    const seen = watch(other.enter(newRequest(), turn(keys, { numStored: 1 })));
    await vi.advanceTimersByTimeAsync(3 * TTL_MS);
    expect(seen).toEqual({});
    for (const key of keys) tier.stored.add(key);
    await vi.advanceTimersByTimeAsync(200);
    expect(seen.answer).toBeGreaterThan(0);
  });

  test("two of one engine wait for each other too", async () => {
    const one = engine();
    await one.enter(newRequest(), turn(keys));
    const seen = watch(one.enter(newRequest(), turn(keys)));
    await vi.advanceTimersByTimeAsync(TTL_MS);
    expect(seen).toEqual({});
    for (const key of keys) tier.stored.add(key);
    await vi.advanceTimersByTimeAsync(200);
    expect(seen.answer).toBeGreaterThan(0);
  });

  test("a request that comes back keeps its claim and does not wait for itself", async () => {
    const one = engine();
    const request = newRequest();
    await one.enter(request, turn(keys));
    expect(await one.enter(request, turn(keys))).toBeUndefined();
    expect(one.holds(request)).toBe(true);
  });

  test("where prompts part the one that waited goes on, while the other is still being computed", async () => {
    const [one, other] = [engine(), engine()];
    const request = newRequest();
    await one.enter(newRequest(), turn(keys));
    const seen = watch(other.enter(request, turn(["a", "b", "x", "y"])));
    tier.stored.add("a");
    await vi.advanceTimersByTimeAsync(TTL_MS);
    expect(seen).toEqual({});
    tier.stored.add("b");
    await vi.advanceTimersByTimeAsync(200);
    expect(seen.answer).toBeGreaterThan(TTL_MS);
    expect(other.holds(request)).toBe(true);
    expect(tier.table.claim(["y"], "somebody", TTL_MS)).toBe(0);
    expect(tier.table.claim(["c"], "somebody", TTL_MS)).toBe(0);
  });

  test("a claim whose owner has died ends, and the one that waited computes the rest", async () => {
    tier.table.claim(keys, "dead", TTL_MS);
    tier.stored.add("a");
    const one = engine();
    const request = newRequest();
    const seen = watch(one.enter(request, turn(keys, { numStored: 1 })));
    await vi.advanceTimersByTimeAsync(TTL_MS - 1);
    expect(seen).toEqual({});
    await vi.advanceTimersByTimeAsync(102);
    expect(seen.answer).toBeLessThanOrEqual(TTL_MS + 100);
    expect(one.holds(request)).toBe(true);
  });

  test("of several that wait for a dead one a single one computes", async () => {
    tier.table.claim(keys, "dead", TTL_MS);
    const engines = [engine(), engine(), engine()];
    const requests = engines.map(newRequest);
    const seen = engines.map((each, i) => watch(each.enter(requests[i]!, turn(keys))));
    await vi.advanceTimersByTimeAsync(3 * TTL_MS);
    expect(engines.filter((each, i) => each.holds(requests[i]!))).toHaveLength(1);
    expect(seen.filter(({ answer }) => answer !== undefined)).toHaveLength(1);
    for (const key of keys) tier.stored.add(key);
    await vi.advanceTimersByTimeAsync(200);
    expect(seen.every(({ answer }) => answer !== undefined)).toBe(true);
  });

  test("nobody waits longer than it may, however long the claim is renewed", async () => {
    const [one, other] = [engine(), engine()];
    const request = newRequest();
    await one.enter(newRequest(), turn(keys));
    const seen = watch(other.enter(request, turn(keys, { maxWaitMs: 2_500 })));
    await vi.advanceTimersByTimeAsync(2_499);
    expect(seen).toEqual({});
    await vi.advanceTimersByTimeAsync(1);
    expect(seen.answer).toBe(2_500);
    expect(other.holds(request)).toBe(false);
  });

  test("leave() lets others go on when what is on its way into the tier has arrived", async () => {
    const [one, other] = [engine(), engine()];
    const request = newRequest();
    let arrive!: () => void;
    tier.pending = new Promise((resolve) => (arrive = resolve));
    await one.enter(request, turn(keys));
    one.leave(request);
    expect(one.holds(request)).toBe(false);
    const seen = watch(other.enter(newRequest(), turn(keys)));
    await vi.advanceTimersByTimeAsync(3 * TTL_MS);
    expect(seen).toEqual({});
    for (const key of keys) tier.stored.add(key);
    arrive();
    await vi.advanceTimersByTimeAsync(200);
    expect(seen.answer).toBeGreaterThan(3 * TTL_MS - 1);
    expect(tier.table.size).toBe(0);
  });

  test("a request that ends without having stored anything frees its claim", async () => {
    const [one, other] = [engine(), engine()];
    const [first, second] = [newRequest(), newRequest()];
    await one.enter(first, turn(keys));
    const seen = watch(other.enter(second, turn(keys)));
    one.leave(first);
    await vi.advanceTimersByTimeAsync(101);
    expect(seen.answer).toBe(100);
    expect(other.holds(second)).toBe(true);
  });

  test("an abort ends the wait, and leaves no claim", async () => {
    const [one, other] = [engine(), engine()];
    const request = newRequest();
    const abort = new AbortController();
    tier.table.claim(["a"], "other", 60_000);
    await one.enter(newRequest(), turn(["x"]));
    const seen = watch(other.enter(request, turn(keys, { signal: abort.signal })));
    await vi.advanceTimersByTimeAsync(50);
    abort.abort();
    await vi.advanceTimersByTimeAsync(0);
    expect(seen.answer).toBe(50);
    expect(other.holds(request)).toBe(false);
  });

  test("an abort while the claim is being made leaves none", async () => {
    const one = engine();
    const request = newRequest();
    const abort = new AbortController();
    const entering = one.enter(request, turn(keys, { signal: abort.signal }));
    abort.abort();
    expect(await entering).toBeUndefined();
    await vi.advanceTimersByTimeAsync(0);
    expect(one.holds(request)).toBe(false);
    expect(tier.table.size).toBe(0);
  });

  test("nobody waits for a tier that is away, not even in the middle of a wait", async () => {
    const one = engine();
    tier.isAway = true;
    expect(await one.enter(newRequest(), turn(keys))).toBeUndefined();
    tier.isAway = false;
    tier.table.claim(keys, "other", 60_000);
    const seen = watch(one.enter(newRequest(), turn(keys)));
    await vi.advanceTimersByTimeAsync(150);
    tier.isAway = true;
    await vi.advanceTimersByTimeAsync(100);
    expect(seen.answer).toBe(200);
  });

  test("what is not worth it is neither claimed nor waited for", async () => {
    tier.table.claim(keys, "other", 60_000);
    const one = engine();
    expect(await one.enter(newRequest(), turn(keys, { isWorthIt: () => false }))).toBeUndefined();
    expect(await one.enter(newRequest(), turn(keys, { numStored: 4 }))).toBeUndefined();
    expect(tier.numClaims).toBe(0);
  });
});
