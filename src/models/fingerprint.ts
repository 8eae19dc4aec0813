import { createHash, type Hash } from "node:crypto";
import { KiB } from "../core/index.ts";
import { openModelFile, readGguf } from "./gguf-reader.ts";

const NUM_SAMPLES = 256;
const SAMPLE_BYTES = 64 * KiB;
const FINGERPRINT_DIGITS = 32;

/**
 * Names the weights of a model: 32 hex digits over each file's length, its whole header and evenly
 * spaced samples of its data. Files of up to 16 MiB enter whole. Neither name nor place nor date
 * of the files matters; the order of the parts does.
 *
 * @throws UsageError when a file is missing or not GGUF
 */
export async function fingerprintWeights(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  hash.update(`warmkv-weights-v1\0${paths.length}\0`);
  for (const path of paths) await addFile(hash, path);
  return hash.digest("hex").slice(0, FINGERPRINT_DIGITS);
}

/** A LoRA adapter, as far as it decides what a model computes. */
export interface FingerprintedAdapter {
  readonly path: string;
  readonly scale: number;
}

/**
 * Names the weights of a model with adapters on them; without any, the model alone.
 *
 * @throws UsageError when a file is missing or not GGUF
 */
export async function fingerprintAdapted(
  weightsFingerprint: string,
  adapters: readonly FingerprintedAdapter[],
): Promise<string> {
  if (adapters.length === 0) return weightsFingerprint;
  const hash = createHash("sha256");
  hash.update(`warmkv-adapted-v1\0${weightsFingerprint}\0${adapters.length}\0`);
  for (const { path, scale } of adapters) {
    hash.update(`${scale}\0`);
    await addFile(hash, path);
  }
  return hash.digest("hex").slice(0, FINGERPRINT_DIGITS);
}

async function addFile(hash: Hash, path: string): Promise<void> {
  const { fileBytes, headerBytes } = await readGguf(path);
  const handle = await openModelFile(path);
  try {
    hash.update(`${fileBytes}\0${headerBytes}\0`);
    const buffer = Buffer.allocUnsafe(SAMPLE_BYTES);
    const addRange = async (start: number, end: number): Promise<void> => {
      for (let at = start; at < end;) {
        const wanted = Math.min(buffer.byteLength, end - at);
        const { bytesRead } = await handle.read(buffer, 0, wanted, at);
        if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
        hash.update(buffer.subarray(0, bytesRead));
        at += bytesRead;
      }
    };
    await addRange(0, headerBytes);
    if (fileBytes - headerBytes <= NUM_SAMPLES * SAMPLE_BYTES) {
      await addRange(headerBytes, fileBytes);
      return;
    }
    const lastStart = fileBytes - SAMPLE_BYTES;
    for (let i = 0; i < NUM_SAMPLES; i++) {
      const start = headerBytes + Math.floor(((lastStart - headerBytes) * i) / (NUM_SAMPLES - 1));
      await addRange(start, start + SAMPLE_BYTES);
    }
  } finally {
    await handle.close();
  }
}
