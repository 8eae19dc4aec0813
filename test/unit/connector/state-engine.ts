import { crc32 } from "node:zlib";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { EngineKv, EngineKvLayout, EngineKvPart } from "../../../src/connector/index.ts";
import type { MemoryPool } from "../../../src/memory/index.ts";
import { BASE_BYTES, ROW_BYTES, baseOf, layout, rowsOf } from "../cache/cache-fixtures.ts";

export type StateKind = "hybrid" | "recurrent";

/** A state is as large as three chunks. */
const STATE_BYTES = 3 * 4096;

export const stateLayouts: Readonly<Record<StateKind, EngineKvLayout>> = {
  hybrid: { ...layout, statePartBytes: () => STATE_BYTES },
  recurrent: { ...layout, tokenPartBytes: () => 0, statePartBytes: () => STATE_BYTES },
};

/**
 * One sequence of a made-up model with a state, which depends on every token before it. As in a real one, the
 * state is that of the end and of no other place, and goes in behind all chunks or not at all.
 */
export class StateEngine implements EngineKv {
  readonly #pool: MemoryPool;
  readonly #hasChunks: boolean;
  /** KV of the positions that are in. */
  #rows: Buffer[] = [];
  #state: Buffer | undefined;
  /** Parts that went in, in order. */
  readonly restored: EngineKvPart[] = [];
  readonly extracted: EngineKvPart[] = [];
  refusesStates = false;

  constructor(pool: MemoryPool, kind: StateKind) {
    this.#pool = pool;
    this.#hasChunks = kind === "hybrid";
  }

  compute(tokens: Int32Array, to: number): void {
    const rows = rowsOf(tokens.subarray(0, to));
    this.#rows = rows;
    this.#state = rows.at(-1);
  }

  get isEmpty(): boolean {
    return this.#rows.length === 0 && this.#state === undefined;
  }

  clear(): void {
    this.#rows = [];
    this.#state = undefined;
  }

  /** Whether computing would go on behind exactly these tokens. */
  endsBehind(tokens: Int32Array, numTokens: number): boolean {
    const expected = rowsOf(tokens.subarray(0, numTokens));
    const hasRows =
      !this.#hasChunks ||
      (this.#rows.length === numTokens && expected.every((row, i) => row.equals(this.#rows[i]!)));
    return hasRows && this.#state?.equals(expected.at(-1)!) === true;
  }

  async extract(parts: readonly EngineKvPart[]): Promise<number[]> {
    // The sequence as it is at the call: a real engine reads it before its next step.
    const [rows, state] = [this.#rows, this.#state];
    await nextTurn();
    return parts.map((part) => {
      this.extracted.push(part);
      const isState = part.kind === "state";
      if (isState ? rows.length !== part.end : part.end > rows.length) return 0;
      const bytes = Buffer.concat([
        baseOf(part),
        ...(isState ? [state!] : rows.slice(part.start, part.end)),
      ]);
      this.#memory(part).set(bytes);
      return bytes.byteLength;
    });
  }

  async restore(parts: readonly EngineKvPart[]): Promise<number> {
    await nextTurn();
    for (const part of parts) {
      if (!this.#restoreOne(part)) {
        this.clear();
        return 0;
      }
      this.restored.push(part);
    }
    return parts.length;
  }

  #restoreOne(part: EngineKvPart): boolean {
    const bytes = Buffer.from(this.#memory(part));
    if (part.crc32 !== undefined && crc32(bytes) !== part.crc32) return false;
    if (!bytes.subarray(0, BASE_BYTES).equals(baseOf(part)) || this.#state !== undefined)
      return false;
    if (part.kind === "state") {
      if (this.refusesStates || (this.#hasChunks && this.#rows.length !== part.end)) return false;
      this.#state = bytes.subarray(BASE_BYTES);
      return true;
    }
    if (part.start !== this.#rows.length) return false;
    for (let at = BASE_BYTES; at < bytes.length; at += ROW_BYTES) {
      this.#rows.push(bytes.subarray(at, at + ROW_BYTES));
    }
    return true;
  }

  #memory(part: EngineKvPart): Uint8Array {
    const { memory } = this.#pool;
    return memory.view(Number(part.address - memory.address!), part.byteLength);
  }
}
