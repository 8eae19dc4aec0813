import type { HalfRows } from "../../core/index.ts";
import type { MemoryLayout } from "./memory-layout.ts";

/*
 * llama.cpp's bytes of a sequence with one cache of keys and values, all u32 little-endian where nothing else is said:
 *
 *     8 B state header | 1 | cells | cells times (position, [12 B more], 1, sequence) | 0 | layers
 *     for each layer: i32 type, u64 bytes of a row, rows of K
 *     for each layer, unless K holds V: i32 type, u64 bytes of a row, rows of V
 */
const NUM_STREAMS_AT = 8;
const NUM_CELLS_AT = 12;
const CELLS_AT = 16;
/** With one coordinate for each token, and with several (M-RoPE). */
const CELL_BYTES = [12, 24];
const LAYERS_HEADER_BYTES = 8;
const RECORD_HEADER_BYTES = 12;
const F16_TYPE = 1;

/** @returns undefined for memory that is not one cache of half-precision numbers and nothing else */
export function halfRowsFinder(
  { kind, tokenPart }: MemoryLayout,
  kvType: string,
): ((part: Uint8Array) => readonly HalfRows[] | undefined) | undefined {
  const recordBytes = tokenPart.baseBytes - CELLS_AT - LAYERS_HEADER_BYTES;
  const isOneCache = recordBytes > 0 && recordBytes % RECORD_HEADER_BYTES === 0;
  return kind === "dense" && kvType === "f16" && isOneCache ? findHalfRows : undefined;
}

/** Where the rows of a chunk lie; undefined unless every byte of it is accounted for. */
export function findHalfRows(part: Uint8Array): readonly HalfRows[] | undefined {
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
  if (part.byteLength < CELLS_AT || view.getUint32(NUM_STREAMS_AT, true) !== 1) return undefined;
  const numCells = view.getUint32(NUM_CELLS_AT, true);
  for (const cellBytes of CELL_BYTES) {
    const rows = rowsBehind(view, CELLS_AT + numCells * cellBytes, numCells);
    if (rows !== undefined) return rows;
  }
  return undefined;
}

function rowsBehind(view: DataView, at: number, numCells: number): HalfRows[] | undefined {
  if (numCells === 0 || at + LAYERS_HEADER_BYTES > view.byteLength) return undefined;
  const isTransposed = view.getUint32(at, true) !== 0;
  const numLayers = view.getUint32(at + 4, true);
  const rows: HalfRows[] = [];
  for (let start = at + LAYERS_HEADER_BYTES; start < view.byteLength;) {
    if (start + RECORD_HEADER_BYTES > view.byteLength) return undefined;
    const isHalf = view.getInt32(start, true) === F16_TYPE;
    const rowBytes = Number(view.getBigUint64(start + 4, true));
    start += RECORD_HEADER_BYTES;
    const end = start + rowBytes * numCells;
    if (!isHalf || rowBytes === 0 || rowBytes % 2 !== 0 || end > view.byteLength) return undefined;
    rows.push({ start, end, rowBytes });
    start = end;
  }
  const isWhole = rows.length === numLayers || rows.length === 2 * numLayers;
  return isWhole && !isTransposed ? rows : undefined;
}
