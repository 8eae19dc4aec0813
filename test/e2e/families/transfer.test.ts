import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KvTransfer } from "../../../src/engine/llama/kv-transfer.ts";
import { detectMemoryLayout, partBytes } from "../../../src/engine/llama/memory-layout.ts";
import type { EngineKvPart } from "../../../src/connector/index.ts";
import { MappedMemory } from "../../../src/memory/index.ts";
import { synthesizeModel } from "../../../src/models/index.ts";
import { FamilyContext, promptOf } from "./family-context.ts";

const directory = mkdtempSync(join(tmpdir(), "warmkv-transfer-"));
afterAll(() => rmSync(directory, { recursive: true }));

const CHUNK = 256;
const BOUNDARY = 1024;
const SEQUENCE = 0;
/** What it makes when cells lie elsewhere; a state that is missing or wrong makes 2 to 14. */
const ROUNDING = 0.01;
const PROMPT = promptOf(BOUNDARY, 1);
const REST = promptOf(77, 2);

/** One model of each kind of memory; two hybrids, since states of M-RoPE models are accepted anywhere. */
const KINDS = [
  ["llama", "dense"],
  ["deepseek32", "dense"],
  ["gemma3", "window"],
  ["gpt-oss", "window"],
  ["granite-hybrid", "hybrid"],
  ["qwen35", "hybrid"],
  ["mamba2", "recurrent"],
  ["deepseek4", "blob"],
] as const;

describe.each(KINDS)("KvTransfer of %s (%s)", (family, kind) => {
  let model: FamilyContext;
  let transfer: KvTransfer;
  let layout: ReturnType<typeof detectMemoryLayout>;
  let emptyBytes: number;
  const memory = new MappedMemory(32 * 1024 * 1024);
  let numUsed = 0;
  /** Of the prompt at the boundary, in order, and the state at another boundary. */
  let parts: EngineKvPart[];
  let otherState: EngineKvPart | undefined;
  let expected: Float32Array;

  const read = (partKind: EngineKvPart["kind"], start: number, end: number): EngineKvPart => {
    const size = partKind === "state" ? layout.statePart : layout.tokenPart;
    const capacity = partBytes(size, partKind === "state" ? end : end - start);
    const address = memory.address + BigInt(numUsed);
    const part = { kind: partKind, start, end, address, byteLength: capacity };
    const [byteLength] = transfer.extract(SEQUENCE, [part]);
    numUsed += Math.ceil(capacity / 4096) * 4096;
    return { ...part, byteLength: byteLength! };
  };
  const copyOf = (part: EngineKvPart): EngineKvPart => {
    const source = Number(part.address - memory.address);
    memory.view(numUsed, part.byteLength).set(memory.view(source, part.byteLength));
    const address = memory.address + BigInt(numUsed);
    numUsed += Math.ceil(part.byteLength / 4096) * 4096;
    return { ...part, address };
  };
  const bytesOf = ({ address, byteLength }: EngineKvPart): Uint8Array =>
    memory.view(Number(address - memory.address), byteLength);
  const clear = (): void => void model.context.removeRange(SEQUENCE, -1, -1);
  const isEmpty = (): boolean =>
    model.context.lastPosition(SEQUENCE) === -1 &&
    model.context.stateBytes(SEQUENCE, 0) === emptyBytes;

  beforeAll(async () => {
    const path = join(directory, `${family}.gguf`);
    await synthesizeModel({ family, numParams: 1e6, type: "f32", path });
    model = new FamilyContext(path);
    layout = detectMemoryLayout(model.model, model.context);
    emptyBytes = model.context.stateBytes(SEQUENCE, 0);
    transfer = new KvTransfer(model.context, layout);
    const hasState = kind !== "dense";
    model.decode(PROMPT.slice(0, BOUNDARY - CHUNK), 0);
    if (hasState) otherState = read("state", 0, BOUNDARY - CHUNK);
    model.decode(PROMPT.slice(BOUNDARY - CHUNK), BOUNDARY - CHUNK);
    parts = [];
    if (partBytes(layout.tokenPart, CHUNK) > 0) {
      for (let start = 0; start < BOUNDARY; start += CHUNK) {
        parts.push(read("tokens", start, start + CHUNK));
      }
    }
    if (hasState) parts.push(read("state", BOUNDARY - CHUNK, BOUNDARY));
    expected = model.decode(REST, BOUNDARY);
  });
  afterAll(() => {
    model[Symbol.dispose]();
    memory[Symbol.dispose]();
  });

  it("takes parts of the expected sizes out, and disturbs nothing", () => {
    expect(layout.kind).toBe(kind);
    expect(parts.every((part) => part.byteLength > 0)).toBe(true);
    for (const part of parts) {
      if (part.kind === "tokens") expect(part.byteLength).toBe(partBytes(layout.tokenPart, CHUNK));
    }
    clear();
    model.decode(PROMPT, 0);
    expect(model.decode(REST, BOUNDARY)).toEqual(expected);
  });

  it("puts them back so that the logits are equal, to the last bit where cells lie the same", () => {
    const tolerance = kind === "window" || kind === "blob" ? ROUNDING : 0;
    for (let round = 0; round < 2; round++) {
      clear();
      // In two batches, as they come from the cache.
      expect(transfer.restore(SEQUENCE, parts.slice(0, 2))).toBe(Math.min(2, parts.length));
      expect(transfer.restore(SEQUENCE, parts.slice(2))).toBe(Math.max(0, parts.length - 2));
      expectClose(model.decode(REST, BOUNDARY), expected, tolerance);
    }
  });

  it("takes no state out of a sequence that has gone on", () => {
    if (kind === "dense") return expect(otherState).toBeUndefined();
    clear();
    model.decode(PROMPT, 0);
    expect(read("state", 0, BOUNDARY).byteLength).toBeGreaterThan(0);
    expect(read("state", 0, BOUNDARY - 1).byteLength).toBe(0);
    expect(read("state", 0, BOUNDARY + 1).byteLength).toBe(0);
  });

  it("empties the sequence when anything is missing, damaged or of another place", () => {
    const whole = parts.at(-1)!;
    const damaged = { ...copyOf(whole), crc32: crc32(bytesOf(whole)) };
    bytesOf(damaged)[whole.byteLength - 1]! ^= 1;
    const short = { ...whole, byteLength: whole.byteLength - 8 };
    const wrong: EngineKvPart[][] = [
      [...parts.slice(0, -1), damaged],
      [...parts.slice(0, -1), short],
      [...parts, ...parts],
    ];
    if (parts.length > 1) {
      wrong.push(parts.toSpliced(1, 1), parts.toSpliced(0, 1), parts.toReversed());
    }
    if (otherState !== undefined) {
      wrong.push([...parts.slice(0, -1), { ...otherState, end: BOUNDARY }]);
      wrong.push([...parts.slice(0, -1), { ...whole, end: BOUNDARY - CHUNK }]);
    }
    for (const attempt of wrong) {
      clear();
      const numIn = transfer.restore(SEQUENCE, attempt);
      expect(numIn).toBeLessThan(attempt.length);
      if (kind === "dense") continue;
      expect(numIn).toBe(0);
      expect(isEmpty()).toBe(true);
      const { scratchSequence } = model.context;
      expect(model.context.stateBytes(scratchSequence, 0)).toBe(emptyBytes);
    }
    clear();
    expect(transfer.restore(SEQUENCE, parts)).toBe(parts.length);
    expectClose(model.decode(REST, BOUNDARY), expected, ROUNDING);
  });
});

function expectClose(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  const largest = actual.reduce((max, each, i) => Math.max(max, Math.abs(each - expected[i]!)), 0);
  expect(largest).toBeLessThanOrEqual(tolerance);
}
