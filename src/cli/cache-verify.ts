import { isPayloadIntact } from "../tiers/index.ts";
import type { CacheDirectory, ChunkFile } from "./cache-directory.ts";

export interface Finding {
  readonly path: string;
  readonly reason: string;
  readonly isRemoved: boolean;
}

export interface VerifyReport {
  readonly numChunks: number;
  readonly numBytes: number;
  readonly numDamaged: number;
  readonly numRemoved: number;
  /** Files that the system would not let us read: nothing is known about them. */
  readonly numUnreadable: number;
  /** The first of those that are damaged or unreadable. */
  readonly findings: readonly Finding[];
}

export interface VerifyOptions {
  readonly mustDelete: boolean;
  readonly onProgress: (doneBytes: number) => void;
  readonly onFinding: (finding: Finding) => void;
}

/** More than that nobody reads; each is printed all the same. */
const MAX_FINDINGS = 1000;

/**
 * Reads every chunk of a directory and compares header and payload with their checksums. One chunk is
 * in memory at a time.
 *
 * What is wrong is looked at twice, and by its name: a server that uses the directory may have removed
 * the file, or made another of it, while it was being read.
 */
export async function verifyDirectory(
  directory: CacheDirectory,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const reader = new PayloadReader(directory);
  const findings: Finding[] = [];
  const counts = { numChunks: 0, numBytes: 0, numDamaged: 0, numRemoved: 0, numUnreadable: 0 };
  for await (const file of directory.chunks()) {
    const verdict = await judge(directory, reader, file);
    if (verdict === "gone") continue;
    counts.numChunks++;
    counts.numBytes += file.fileBytes;
    options.onProgress(counts.numBytes);
    if (verdict === "whole") continue;
    if (verdict.isCertain) counts.numDamaged++;
    else counts.numUnreadable++;
    const mustDelete = options.mustDelete && verdict.isCertain;
    const finding = await settle(directory, file, verdict.reason, mustDelete);
    if (finding.isRemoved) counts.numRemoved++;
    options.onFinding(finding);
    if (findings.length < MAX_FINDINGS) findings.push(finding);
  }
  return { ...counts, findings };
}

type Verdict = "whole" | "gone" | { readonly reason: string; readonly isCertain: boolean };

async function judge(
  directory: CacheDirectory,
  reader: PayloadReader,
  file: ChunkFile,
): Promise<Verdict> {
  try {
    const first = await reader.faultOf(file);
    if (first === undefined) return "whole";
    const again = first === "gone" ? undefined : await directory.refresh(file);
    const second = again === undefined ? "gone" : await reader.faultOf(again);
    if (second === undefined) return "whole";
    return second === "gone" ? "gone" : { reason: second, isCertain: true };
  } catch (error) {
    return { reason: `it cannot be read: ${systemMessage(error)}`, isCertain: false };
  }
}

async function settle(
  directory: CacheDirectory,
  file: ChunkFile,
  reason: string,
  mustDelete: boolean,
): Promise<Finding> {
  const { path } = file;
  try {
    return { path, reason, isRemoved: mustDelete && (await directory.remove(file)) };
  } catch (error) {
    return {
      path,
      reason: `${reason}; it cannot be removed: ${systemMessage(error)}`,
      isRemoved: false,
    };
  }
}

/** The message of the system's errors; others are bugs, and are thrown on. */
function systemMessage(error: unknown): string {
  if (!(error instanceof Error && "errno" in error)) throw error;
  return error.message;
}

/** Reads file after file into the same memory. */
class PayloadReader {
  readonly #directory: CacheDirectory;
  #memory: Uint8Array = new Uint8Array(0);

  constructor(directory: CacheDirectory) {
    this.#directory = directory;
  }

  /** @returns undefined when all is well */
  async faultOf(file: ChunkFile): Promise<string | undefined> {
    const found = await this.#directory.inspectHeader(file);
    if (found === undefined) return "gone";
    const { header, fault } = found;
    if (fault !== undefined) return fault;
    // Only what a sound header announces is allocated.
    if (this.#memory.byteLength < file.fileBytes) this.#memory = new Uint8Array(file.fileBytes);
    const bytes = this.#memory.subarray(0, file.fileBytes);
    const numRead = await this.#directory.read(file, bytes);
    if (numRead === undefined) return "gone";
    if (numRead < bytes.byteLength) return "the file is cut off";
    const chunk = bytes.subarray(0, header.headerBytes + header.payloadBytes);
    return isPayloadIntact(chunk, header) ? undefined : "the payload has another checksum";
  }
}
