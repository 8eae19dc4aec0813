import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { type HalfRows, decodeFloat16, encodeFloat16 } from "../../../src/core/index.ts";
import { HeapMemory, type KvBuffer, MemoryPool } from "../../../src/memory/index.ts";
import {
  Int8Serde,
  chunkHeaderBytes,
  isPayloadIntact,
  readChunkHeader,
  sealChunk,
} from "../../../src/tiers/index.ts";

const KEY = "5".repeat(32);
const LABEL = new Uint8Array(40).fill(7);
const HEADER_BYTES = chunkHeaderBytes(LABEL.byteLength);

let pool: MemoryPool;
afterEach(() => pool.assertAllFree());

/** What lies in front of, between and behind the rows is no number. */
interface Shape {
  readonly rowBytes: number;
  readonly numRows: number;
  readonly numLayers: number;
  readonly betweenBytes: number;
}

function rowsOf({ rowBytes, numRows, numLayers, betweenBytes }: Shape): HalfRows[] {
  return Array.from({ length: numLayers }, (_, layer) => {
    const start = betweenBytes + layer * (rowBytes * numRows + betweenBytes);
    return { start, end: start + rowBytes * numRows, rowBytes };
  });
}

function payloadOf(shape: Shape): Uint8Array {
  const { rowBytes, numRows, numLayers, betweenBytes } = shape;
  const payload = new Uint8Array(numLayers * (rowBytes * numRows + betweenBytes) + betweenBytes);
  payload.forEach((_, at) => (payload[at] = (at * 31) % 251));
  const view = new DataView(payload.buffer);
  for (const { start, end } of rowsOf(shape)) {
    for (let at = start; at < end; at += 2) {
      view.setUint16(at, encodeFloat16(Math.sin(at) * 2 ** ((at >> 9) % 12)), true);
    }
  }
  return payload;
}

function makeChunk(payload: Uint8Array, kind: "tokens" | "opaque" = "tokens"): KvBuffer {
  const chunk = pool.tryAllocate(HEADER_BYTES + payload.byteLength)!;
  chunk.bytes.set(payload, HEADER_BYTES);
  const fingerprint = "a".repeat(32);
  const key = KEY as Parameters<typeof sealChunk>[1]["key"];
  sealChunk(chunk.bytes, {
    kind,
    key,
    parent: undefined,
    fingerprint,
    start: 0,
    end: 10,
    label: LABEL,
  });
  return chunk;
}

function openSerde(shape: Shape | undefined, numSlabs = 3): Int8Serde {
  const payloadBytes = shape === undefined ? 4096 : payloadOf(shape).byteLength;
  const slabBytes = HEADER_BYTES + payloadBytes;
  pool = new MemoryPool(new HeapMemory(numSlabs * (slabBytes + 4096)), slabBytes);
  return new Int8Serde({ pool, findRows: () => shape && rowsOf(shape) });
}

/** As a fetcher reads a value. */
async function decode(serde: Int8Serde, value: Uint8Array): Promise<KvBuffer | undefined> {
  const buffer = pool.tryAllocate(pool.slabBytes)!;
  serde.place(buffer.capacity, value.byteLength).set(value);
  if (await serde.decode(buffer, value.byteLength)) return buffer;
  buffer[Symbol.dispose]();
  return undefined;
}

async function encodedValue(serde: Int8Serde, payload: Uint8Array): Promise<Uint8Array> {
  using chunk = makeChunk(payload);
  using value = await serde.encode(chunk);
  return Uint8Array.from(value!.bytes);
}

const shapes = fc.record({
  rowBytes: fc.constantFrom(64, 320, 512, 1024, 1536),
  numRows: fc.integer({ min: 4, max: 20 }),
  numLayers: fc.integer({ min: 1, max: 4 }),
  betweenBytes: fc.constantFrom(0, 12, 100),
});

describe("Int8Serde", () => {
  test("a chunk comes back whole: header, checksum, bytes that are no numbers; numbers within the bound", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async (shape) => {
        const serde = openSerde(shape);
        const payload = payloadOf(shape);
        using chunk = await decode(serde, await encodedValue(serde, payload));
        const header = readChunkHeader(chunk!.bytes)!;
        expect(header).toMatchObject({ key: KEY, kind: "tokens", start: 0, end: 10 });
        expect(Buffer.compare(header.label, LABEL)).toBe(0);
        expect(isPayloadIntact(chunk!.bytes, header)).toBe(true);
        expect(chunk!.isChecked).toBe(true);

        const decoded = Uint8Array.from(chunk!.bytes.subarray(header.headerBytes));
        expect(decoded.byteLength).toBe(payload.byteLength);
        const [was, is] = [new DataView(payload.buffer), new DataView(decoded.buffer)];
        for (const { start, end, rowBytes } of rowsOf(shape)) {
          for (let row = start; row < end; row += rowBytes) {
            const values = (view: DataView): number[] =>
              Array.from({ length: rowBytes / 2 }, (_, i) =>
                decodeFloat16(view.getUint16(row + 2 * i, true)),
              );
            const [x, y] = [values(was), values(is)];
            // Of the row: that of each of its groups is no larger.
            const largest = Math.max(...x.map(Math.abs));
            x.forEach((value, i) => {
              expect(Math.abs(value - y[i]!)).toBeLessThanOrEqual(largest / 225 + 2 ** -25);
            });
          }
          decoded.fill(0, start, end);
          payload.fill(0, start, end);
        }
        expect(Buffer.compare(decoded, payload)).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  test("takes little more than half the bytes, also of what is not done in one turn", async () => {
    const shape = { rowBytes: 1024, numRows: 1100, numLayers: 1, betweenBytes: 12 };
    const serde = openSerde(shape);
    const payload = payloadOf(shape);
    const value = await encodedValue(serde, payload);
    expect((value.byteLength - HEADER_BYTES) / payload.byteLength).toBeCloseTo(0.531, 3);
    using chunk = await decode(serde, value);
    expect(chunk!.byteLength).toBe(HEADER_BYTES + payload.byteLength);
  });

  test.each([
    ["without rows", undefined, new Uint8Array(1000).fill(3)],
    [
      "of rows too short to share a scale",
      { rowBytes: 14, numRows: 9, numLayers: 1, betweenBytes: 0 },
      undefined,
    ],
    [
      "of numbers that are infinite",
      { rowBytes: 64, numRows: 9, numLayers: 1, betweenBytes: 0 },
      new Uint8Array(576).fill(0x7c),
    ],
  ])("a chunk %s is stored as it is", async (_, shape, given) => {
    const serde = openSerde(shape);
    const payload = given ?? payloadOf(shape!);
    using chunk = makeChunk(payload);
    const exact = Uint8Array.from(chunk.bytes);
    const value = await encodedValue(serde, payload);
    expect(Buffer.compare(value, exact)).toBe(0);
    using decoded = await decode(serde, value);
    expect(Buffer.compare(decoded!.bytes, exact)).toBe(0);
    expect(decoded!.isChecked).toBe(false);
  });

  test("without room in the pool there is nothing to put", async () => {
    const shape = { rowBytes: 64, numRows: 100, numLayers: 1, betweenBytes: 0 };
    const serde = openSerde(shape, 1);
    using chunk = makeChunk(payloadOf(shape));
    expect(await serde.encode(chunk)).toBeUndefined();
  });

  test("a changed bit is found, wherever it is", async () => {
    const shape = { rowBytes: 64, numRows: 4, numLayers: 2, betweenBytes: 12 };
    const serde = openSerde(shape);
    const value = await encodedValue(serde, payloadOf(shape));
    await fc.assert(
      fc.asyncProperty(fc.nat(value.byteLength * 8 - 1), async (bit) => {
        const damaged = Uint8Array.from(value);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        expect(await decode(serde, damaged)).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  test("garbage and values of another length are refused", async () => {
    const shape = { rowBytes: 64, numRows: 4, numLayers: 2, betweenBytes: 12 };
    const serde = openSerde(shape);
    const value = await encodedValue(serde, payloadOf(shape));
    for (const length of [0, 1, 15, 16, 40, value.byteLength - 1]) {
      expect(await decode(serde, value.subarray(0, length))).toBeUndefined();
    }
    const front = value.subarray(0, 12);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (garbage) => {
        expect(await decode(serde, garbage)).toBeUndefined();
        expect(await decode(serde, Buffer.concat([front, garbage]))).toBeUndefined();
      }),
    );
  });
});
