import { decodeFloat16, encodeFloat16 } from "../../core/index.ts";

/** Steps on each side of zero. */
const MAX_STEPS = 127;
/** What a byte is for no step. */
const ZERO_BYTE = 128;
const SCALE_BYTES = 4;
const MAGNITUDE_BITS = 0x7fff;
/** Half-precision numbers end at 65504: here 127 steps of a scale that was rounded up are surely among them. */
const LARGEST_BITS = encodeFloat16(64_900);
/** Exponents of a scale with which 1 step and 127 steps are normal half-precision numbers. */
const MIN_EXPONENT = -14;
const MAX_EXPONENT = 8;

/** Bytes of so many numbers, a whole number of groups. */
export function int8Bytes(numNumbers: number, groupSize: number): number {
  return numNumbers + (SCALE_BYTES * numNumbers) / groupSize;
}

/**
 * Writes each group as its scale (f32, with no more digits than a half-precision number has) and, in a byte for each
 * number, how many steps of this scale it is. The scale is the largest magnitude of the group divided by 127, and at
 * most 1/1024 more: no number is off by more than half a scale, and by the rounding of the result.
 *
 * @param halves a whole number of groups
 * @returns whether it can be done: not for numbers that are infinite, or close to it
 */
export function encodeInt8(halves: Uint16Array, groupSize: number, target: Uint8Array): boolean {
  const values = halfValues();
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  let at = 0;
  for (let start = 0; start < halves.length; start += groupSize) {
    const end = start + groupSize;
    let largest = 0;
    for (let i = start; i < end; i++) {
      // Magnitudes are in the order of their bits.
      const bits = halves[i]! & MAGNITUDE_BITS;
      if (bits > largest) largest = bits;
    }
    if (largest > LARGEST_BITS) return false;
    const scaleBits = roundedUpBits(values[largest]! / MAX_STEPS);
    view.setUint32(at, scaleBits, true);
    const scale = view.getFloat32(at, true);
    at += SCALE_BYTES;
    const inverse = scale === 0 ? 0 : 1 / scale;
    // What is written to a byte loses its fraction: half a step more, and it is rounded.
    for (let i = start; i < end; i++) {
      target[at++] = values[halves[i]!]! * inverse + (ZERO_BYTE + 0.5);
    }
  }
  return true;
}

/**
 * The inverse. Both may lie in the same memory, if `source` ends no earlier than `halves` do.
 *
 * @returns false for a scale that was never written
 */
export function decodeInt8(source: Uint8Array, groupSize: number, halves: Uint16Array): boolean {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  let at = 0;
  for (let start = 0; start < halves.length; start += groupSize) {
    const end = start + groupSize;
    const scaleBits = view.getUint32(at, true);
    const scale = view.getFloat32(at, true);
    const exponent = ((scaleBits >>> 23) & 0xff) - 127;
    at += SCALE_BYTES;
    if (exponent > MAX_EXPONENT) return false;
    if (exponent >= MIN_EXPONENT) {
      const multiples = multiplesOf((scaleBits >>> 13) & 0x3ff);
      const shift = exponent * 1024;
      for (let i = start; i < end; i++) {
        const multiple = multiples[source[at++]!]!;
        halves[i] = multiple === 0 ? 0 : multiple + shift;
      }
    } else {
      for (let i = start; i < end; i++) {
        halves[i] = encodeFloat16((source[at++]! - ZERO_BYTE) * scale);
      }
    }
  }
  return true;
}

/** The number that each half-precision number's bits stand for. */
let allValues: Float32Array | undefined;

function halfValues(): Float32Array {
  return (allValues ??= Float32Array.from({ length: 65_536 }, (_, bits) => decodeFloat16(bits)));
}

/**
 * For each fraction of a scale, the half-precision numbers of -128 to 127 steps of the scale with exponent 0. With
 * another exponent they differ in theirs. This is what makes decoding fast: half a KiB for each group, often the same.
 */
const allMultiples: (Uint16Array | undefined)[] = Array.from({ length: 1024 });

function multiplesOf(fraction: number): Uint16Array {
  const scale = 1 + fraction / 1024;
  return (allMultiples[fraction] ??= Uint16Array.from({ length: 256 }, (_, byte) =>
    encodeFloat16((byte - ZERO_BYTE) * scale),
  ));
}

const float = new DataView(new ArrayBuffer(4));

/** Of the f32 that is not smaller and has 10 bits behind its leading one. */
function roundedUpBits(value: number): number {
  float.setFloat32(0, value);
  return (float.getUint32(0) + 0x1fff) & ~0x1fff;
}
