import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { REMOTE_PRIORITIES } from "../../../src/protocol/index.ts";
import type { RemoteCall, RemoteStore } from "../../../src/remotes/remote-store.ts";
import { patternBytes } from "../protocol/peer.ts";

/** A store that holds nothing yet and has room for 64 MiB. */
export interface OpenedRemote {
  readonly store: RemoteStore;
  /** A second client of the same store; disposed by the suite. */
  readonly openAnother?: (() => Promise<RemoteStore>) | undefined;
  /** What is to be tidied up after the store was closed. */
  readonly cleanup?: (() => Promise<void>) | undefined;
}

export interface RemoteConformanceOptions {
  /** false where the protocol has no command for it: remove() then answers 0. */
  readonly canRemove?: boolean | undefined;
  /** Whether its servers keep claims. Default: they know none. */
  readonly canClaim?: boolean | undefined;
  /** Runs of the random traffic. */
  readonly numRuns?: number | undefined;
}

const MiB = 2 ** 20;
const never = new AbortController().signal;
const call: RemoteCall = { signal: never, priority: "get" };

/** What every remote store promises, whatever its protocol. */
export function remoteConformance(
  name: string,
  open: () => Promise<OpenedRemote>,
  { canRemove = true, canClaim = false, numRuns = 10 }: RemoteConformanceOptions = {},
): void {
  describe(`${name} is a remote store`, () => {
    let opened: OpenedRemote;
    let store: RemoteStore;

    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(async () => {
      await store[Symbol.asyncDispose]();
      await opened.cleanup?.();
    });

    test("an empty store finds nothing", async () => {
      expect(await store.lookup(["a", "b"], call)).toBe(0);
      expect(await store.lookup([], call)).toBe(0);
      expect(await getValue(store, "a")).toBeUndefined();
      expect(await store.remove(["a"], call)).toBe(0);
      expect(await store.remove([], call)).toBe(0);
    });

    test("a miss does not ask for memory", async () => {
      let numAsked = 0;
      await store.get("a", () => void numAsked++ as undefined, call);
      expect(numAsked).toBe(0);
    });

    test.each([1, 100, 4095, 4096, 4097, MiB, 4 * MiB, 5 * MiB + 3, 17 * MiB])(
      "a value of %i bytes comes back as it was put",
      async (byteLength) => {
        const value = patternBytes(byteLength);
        expect(await store.put("value", value, call)).toBe(true);
        expect(await store.lookup(["value"], call)).toBe(1);
        expect((await getValue(store, "value"))?.equals(value)).toBe(true);
      },
    );

    test("an empty value is refused or kept", async () => {
      const isStored = await store.put("empty", new Uint8Array(0), call);
      expect(await store.lookup(["empty"], call)).toBe(isStored ? 1 : 0);
      expect(await getValue(store, "empty")).toEqual(isStored ? Buffer.alloc(0) : undefined);
    });

    test("get() fills the memory it is given and touches nothing beside it", async () => {
      const value = patternBytes(2 * MiB + 7);
      await store.put("value", value, call);
      const memory = Buffer.alloc(value.byteLength + 20, 0x5a);
      const allocate = (byteLength: number): Uint8Array => memory.subarray(10, 10 + byteLength);
      expect(await store.get("value", allocate, call)).toBe(value.byteLength);
      expect(memory.subarray(10, -10).equals(value)).toBe(true);
      expect([...memory.subarray(0, 10), ...memory.subarray(-10)]).toEqual(
        Array.from({ length: 20 }, () => 0x5a),
      );
    });

    test("put() has done with the value's memory when it resolves", async () => {
      const value = patternBytes(3 * MiB);
      const copy = Buffer.from(value);
      await store.put("value", value, call);
      value.fill(0);
      expect((await getValue(store, "value"))?.equals(copy)).toBe(true);
    });

    test("a value for which there is no room is given up, and the store goes on", async () => {
      const value = patternBytes(3 * MiB);
      await store.put("value", value, call);
      for (let round = 0; round < 3; round++) {
        expect(await store.get("value", () => undefined, call)).toBeUndefined();
        expect((await getValue(store, "value"))?.equals(value)).toBe(true);
      }
    });

    test("lookup() counts up to the first gap", async () => {
      const names = ["a", "b", "c", "d", "e"];
      for (const held of ["a", "b", "d", "e"]) await store.put(held, patternBytes(10), call);
      expect(await store.lookup(names, call)).toBe(2);
      expect(await store.lookup(names.slice(3), call)).toBe(2);
      expect(await store.lookup(names.slice(2), call)).toBe(0);
    });

    test("lookup() takes a long prompt's names at once", async () => {
      const names = Array.from({ length: 1000 }, (_, index) => `chunk-${index}`);
      for (const held of names.slice(0, 40)) await store.put(held, patternBytes(64), call);
      expect(await store.lookup(names, call)).toBe(40);
    });

    test("putting a held name is answered by true and changes nothing", async () => {
      const value = patternBytes(MiB);
      for (let round = 0; round < 3; round++) expect(await store.put("a", value, call)).toBe(true);
      expect((await getValue(store, "a"))?.equals(value)).toBe(true);
    });

    test("any text is a name, and different names are different values", async () => {
      const names = [
        "meta-llama/Llama-3.1-8B@1@0@5f05dec65811b7cc@bfloat16",
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF",
        "../../etc/passwd",
        "with space",
        "with  space",
        "line\nfeed",
        "line\r\nfeed",
        "{tag}",
        "größe-大きさ-😀",
        ".",
        "x".repeat(149),
        "x".repeat(150),
        "x".repeat(151),
        "x".repeat(400),
        `${"x".repeat(400)}y`,
      ];
      for (const [index, each] of names.entries()) {
        expect(await store.put(each, patternBytes(100, index + 1), call)).toBe(true);
      }
      expect(await store.lookup(names, call)).toBe(names.length);
      for (const [index, each] of names.entries()) {
        expect((await getValue(store, each))?.equals(patternBytes(100, index + 1))).toBe(true);
      }
    });

    if (canRemove) {
      test("remove() drops values and counts those that were there", async () => {
        const names = ["a", "b", "c"];
        for (const held of names) await store.put(held, patternBytes(5 * MiB), call);
        expect(await store.remove(["b", "nothing"], call)).toBe(1);
        expect(await store.remove(["b"], call)).toBe(0);
        expect(await store.lookup(names, call)).toBe(1);
        expect(await getValue(store, "b")).toBeUndefined();
        expect(await store.put("b", patternBytes(9), call)).toBe(true);
        expect((await getValue(store, "b"))?.equals(patternBytes(9))).toBe(true);
      });
    } else {
      test("remove() answers 0 and drops nothing", async () => {
        await store.put("a", patternBytes(5), call);
        expect(await store.remove(["a"], call)).toBe(0);
        expect(await store.lookup(["a"], call)).toBe(1);
      });
    }

    test("many calls at once, of every priority, get right answers", async () => {
      const values = Array.from({ length: 24 }, (_, index) => ({
        name: `value-${index}`,
        bytes: patternBytes(100_000 + 1000 * index, index + 1),
      }));
      await Promise.all(
        values.map(async ({ name: each, bytes }, index) => {
          const priority = REMOTE_PRIORITIES[index % REMOTE_PRIORITIES.length]!;
          const own = { signal: never, priority };
          expect(await store.put(each, bytes, { ...own, priority: "put" })).toBe(true);
          expect(await store.lookup([each], own)).toBe(1);
          expect((await getValue(store, each, own))?.equals(bytes)).toBe(true);
        }),
      );
      const names = values.map((value) => value.name);
      expect(await store.lookup(names, call)).toBe(names.length);
    });

    test("puts of one name at the same time leave one whole value", async () => {
      const value = patternBytes(2 * MiB);
      const puts = Array.from({ length: 4 }, () => store.put("same", value, call));
      expect(await Promise.all(puts)).toEqual([true, true, true, true]);
      expect((await getValue(store, "same"))?.equals(value)).toBe(true);
    });

    test("a reader never gets half a value while it is being put", async () => {
      const value = patternBytes(8 * MiB);
      let isPut = false;
      const putting = store.put("value", value, call).then(() => (isPut = true));
      do {
        const found = await getValue(store, "value");
        if (found !== undefined) expect(found.equals(value)).toBe(true);
      } while (!isPut);
      await putting;
      expect((await getValue(store, "value"))?.equals(value)).toBe(true);
    });

    test("an aborted call rejects, and the store goes on", async () => {
      const aborted: RemoteCall = { signal: AbortSignal.abort(), priority: "get" };
      await expect(store.lookup(["a"], aborted)).rejects.toThrow();
      await expect(getValue(store, "a", aborted)).rejects.toThrow();
      await expect(store.put("a", patternBytes(9), aborted)).rejects.toThrow();
      expect(await store.put("a", patternBytes(9), call)).toBe(true);
      expect((await getValue(store, "a"))?.equals(patternBytes(9))).toBe(true);
    });

    test("an abort at any moment leaves no wrong value behind", async () => {
      const value = patternBytes(6 * MiB);
      for (let delayMs = 0; delayMs < 8; delayMs++) {
        const own = `value-${delayMs}`;
        const abort = new AbortController();
        const timer = setTimeout(() => abort.abort(), delayMs);
        const cut = { signal: abort.signal, priority: "get" } as const;
        await store.put(own, value, cut).catch(() => {});
        await getValue(store, own, cut).catch(() => {});
        clearTimeout(timer);
        const found = await getValue(store, own);
        if (found !== undefined) expect(found.equals(value)).toBe(true);
        expect(await store.put(own, value, call)).toBe(true);
        expect((await getValue(store, own))?.equals(value)).toBe(true);
        if (canRemove) await store.remove([own], call);
      }
    });

    test("another client of the store finds what was put", async () => {
      if (opened.openAnother === undefined) return;
      const value = patternBytes(5 * MiB);
      await store.put("shared", value, call);
      await using another = await opened.openAnother();
      expect(await another.lookup(["shared"], call)).toBe(1);
      expect((await getValue(another, "shared"))?.equals(value)).toBe(true);
      await another.put("back", value, call);
      expect(await store.lookup(["shared", "back"], call)).toBe(2);
    });

    test("a closed store rejects with a TierError and may be closed again", async () => {
      await store[Symbol.asyncDispose]();
      const closed = expect.objectContaining({ name: "TierError", code: "closed" });
      await expect(store.lookup(["a"], call)).rejects.toEqual(closed);
      await expect(getValue(store, "a")).rejects.toEqual(closed);
      await expect(store.put("a", patternBytes(1), call)).rejects.toEqual(closed);
      await expect(store.remove(["a"], call)).rejects.toEqual(closed);
    });

    if (canClaim) {
      const mine = { owner: "mine", ttlMs: 60_000 };
      const theirs = { owner: "theirs", ttlMs: 60_000 };

      test("a claim is one owner's, renewed by it, and another's once it is released", async () => {
        const other = (await opened.openAnother?.()) ?? store;
        expect(await store.claim!(["a"], mine, call)).toBe(1);
        expect(await other.claim!(["a"], theirs, call)).toBe(0);
        expect(await store.claim!(["a"], mine, call)).toBe(1);
        await other.release!(["a"], theirs.owner, call);
        expect(await other.claim!(["a"], theirs, call)).toBe(0);
        await store.release!(["a"], mine.owner, call);
        expect(await other.claim!(["a"], theirs, call)).toBe(1);
        expect(await store.claim!(["a"], mine, call)).toBe(0);
        if (other !== store) await other[Symbol.asyncDispose]();
      });

      test("claim() counts up to the first name that is another's", async () => {
        const names = Array.from({ length: 300 }, (_, index) => `claimed ${index}`);
        expect(await store.claim!(names.slice(200, 201), theirs, call)).toBe(1);
        expect(await store.claim!(names, mine, call)).toBe(200);
        expect(await store.claim!(names, theirs, call)).toBe(0);
        await store.release!(names, mine.owner, call);
        expect(await store.claim!(names, theirs, call)).toBe(300);
      });

      test("a claim ends after its time to live, and not while it is renewed", async () => {
        const short = { owner: "mine", ttlMs: 40 };
        expect(await store.claim!(["a", "b"], mine, call)).toBe(2);
        expect(await store.claim!(["b"], short, call)).toBe(1);
        await expect.poll(() => store.claim!(["b"], theirs, call), { interval: 10 }).toBe(1);
        expect(await store.claim!(["a"], theirs, call)).toBe(0);
      });

      test("a claim is no value, and a value needs none", async () => {
        const value = patternBytes(5 * MiB);
        await store.claim!(["a"], theirs, call);
        expect(await store.lookup(["a"], call)).toBe(0);
        expect(await getValue(store, "a")).toBeUndefined();
        expect(await store.put("a", value, call)).toBe(true);
        expect((await getValue(store, "a"))?.equals(value)).toBe(true);
        expect(await store.claim!(["a"], mine, call)).toBe(0);
        await store.release!(["a"], theirs.owner, call);
        expect(await store.lookup(["a"], call)).toBe(1);
      });
    } else {
      test("nobody can claim anything", async () => {
        expect(await store.claim?.(["a"], { owner: "mine", ttlMs: 1000 }, call)).toBeUndefined();
        await store.release?.(["a"], "mine", call);
      });
    }

    test("random traffic: no wrong bytes, no phantom", async () => {
      const command = fc.record({
        verb: fc.constantFrom("put", "put", "get", "lookup", "remove"),
        value: fc.nat({ max: 7 }),
      });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 30 }), async (commands) => {
          run++;
          const held = new Set<number>();
          const nameOf = (value: number): string => `run-${run}-${value}`;
          for (const { verb, value } of commands) {
            const own = nameOf(value);
            const bytes = patternBytes(1 + 5000 * value, value + 1);
            if (verb === "put") {
              expect(await store.put(own, bytes, call)).toBe(true);
              held.add(value);
            } else if (verb === "get") {
              const found = await getValue(store, own);
              expect(found?.equals(bytes)).toBe(held.has(value) ? true : undefined);
            } else if (verb === "lookup") {
              const names = Array.from({ length: 8 }, (_, index) => nameOf(index));
              const gap = names.findIndex((_, index) => !held.has(index));
              expect(await store.lookup(names, call)).toBe(gap < 0 ? 8 : gap);
            } else if (canRemove) {
              expect(await store.remove([own], call)).toBe(held.delete(value) ? 1 : 0);
            }
          }
        }),
        { numRuns },
      );
    });
  });
}

/** The value in fresh memory, or undefined. */
export async function getValue(
  store: RemoteStore,
  name: string,
  own: RemoteCall = call,
): Promise<Buffer | undefined> {
  let target: Buffer | undefined;
  const byteLength = await store.get(name, (length) => (target = Buffer.alloc(length)), own);
  expect(target?.byteLength).toBe(byteLength);
  return target;
}
