import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MemoryValueStorage } from "../../../src/infinistore-server/index.ts";

function put(storage: MemoryValueStorage, key: string, byteLength: number): boolean {
  using reserved = storage.reserve(key, byteLength);
  void reserved?.commit();
  return reserved !== undefined;
}

describe("MemoryValueStorage", () => {
  test("a value is there once it is committed, and not before", () => {
    const storage = new MemoryValueStorage(100);
    const reserved = storage.reserve("a", 10)!;
    expect([storage.has("a"), storage.usedBytes]).toEqual([false, 10]);
    void reserved.commit();
    reserved[Symbol.dispose]();
    expect([storage.has("a"), storage.usedBytes]).toEqual([true, 10]);
  });

  test("what is disposed of without a commit gives its room back", () => {
    const storage = new MemoryValueStorage(100);
    storage.reserve("a", 100)![Symbol.dispose]();
    expect([storage.has("a"), storage.usedBytes]).toEqual([false, 0]);
  });

  test("the least recently used value goes first", () => {
    const storage = new MemoryValueStorage(30);
    for (const key of ["a", "b", "c"]) put(storage, key, 10);
    storage.acquire("a")![Symbol.dispose]();
    put(storage, "d", 10);
    expect(["a", "b", "c", "d"].filter((key) => storage.has(key))).toEqual(["a", "c", "d"]);
  });

  test("a value that is being read keeps its bytes, removed or replaced", () => {
    const storage = new MemoryValueStorage(20);
    put(storage, "a", 10);
    const held = storage.acquire("a")!;
    held.bytes.fill(7);
    expect(put(storage, "b", 20)).toBe(false);
    put(storage, "a", 10);
    expect(storage.usedBytes).toBe(20);
    expect([...held.bytes]).toEqual(Array.from({ length: 10 }, () => 7));
    held[Symbol.dispose]();
    held[Symbol.dispose]();
    expect(storage.usedBytes).toBe(10);
  });

  test("random traffic never exceeds the capacity, and ends where it began", () => {
    const command = fc.record({
      verb: fc.constantFrom("put", "abort", "acquire", "release", "remove"),
      key: fc.constantFrom("a", "b", "c", "d"),
      byteLength: fc.nat({ max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const storage = new MemoryValueStorage(100);
        const held: Disposable[] = [];
        for (const { verb, key, byteLength } of commands) {
          if (verb === "put") put(storage, key, byteLength);
          else if (verb === "abort") storage.reserve(key, byteLength)?.[Symbol.dispose]();
          else if (verb === "acquire") held.push(...[storage.acquire(key)].filter((v) => !!v));
          else if (verb === "release") held.pop()?.[Symbol.dispose]();
          else storage.remove(key);
          expect(storage.usedBytes).toBeLessThanOrEqual(100);
        }
        for (const value of held) value[Symbol.dispose]();
        for (const key of ["a", "b", "c", "d"]) storage.remove(key);
        expect(storage.usedBytes).toBe(0);
      }),
    );
  });
});
