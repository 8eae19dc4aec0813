import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { messageOf, UsageError } from "../core/index.ts";

/** One request of a trace: what was asked when, as blocks of its prompt. */
export interface TraceRequest {
  /** Milliseconds since the trace began. */
  readonly timestampMs: number;
  readonly numInputTokens: number;
  readonly numOutputTokens: number;
  /**
   * The prompt in blocks of equal size, of which the last may be partial. Equal numbers stand for
   * equal blocks behind equal prefixes.
   */
  readonly blocks: readonly number[];
}

/**
 * Reads a trace in Mooncake's format, one JSON object a line: `{"timestamp": 0, "input_length":
 * 600, "output_length": 20, "hash_ids": [0, 1]}`. Empty lines are passed over.
 *
 * @throws UsageError that names file and line
 */
export async function* readTrace(
  file: string,
  blockTokens: number,
): AsyncGenerator<TraceRequest, void, undefined> {
  const input = createReadStream(file, "utf8");
  const lines = createInterface({ input, crlfDelay: Infinity });
  let lineNumber = 0;
  try {
    for await (const line of lines) {
      lineNumber++;
      if (line.trim() !== "") yield parseTraceLine(line, blockTokens, `${file}:${lineNumber}`);
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`Cannot read the trace "${file}": ${messageOf(error)}`, { cause: error });
  } finally {
    lines.close();
    input.destroy();
  }
}

/**
 * @param place where the line stands, for errors
 * @throws UsageError
 */
function parseTraceLine(line: string, blockTokens: number, place: string): TraceRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new UsageError(`${place}: Cannot read the line as JSON: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`${place}: wanted an object, got ${JSON.stringify(value)}`);
  }
  const fields = value as Record<string, unknown>;
  const numInputTokens = numberField(fields, "input_length", place);
  const blocks = fields["hash_ids"];
  if (!Array.isArray(blocks) || !blocks.every(isWholeNumber)) {
    throw new UsageError(`${place}: wanted "hash_ids" to be a list of whole numbers from 0`);
  }
  const numBlocks = Math.ceil(numInputTokens / blockTokens);
  if (blocks.length !== numBlocks) {
    throw new UsageError(
      `${place}: ${numInputTokens} tokens in blocks of ${blockTokens} are ${numBlocks} blocks, but "hash_ids" has ${blocks.length}: is the block size right?`,
    );
  }
  return {
    timestampMs: numberField(fields, "timestamp", place),
    numInputTokens,
    numOutputTokens: numberField(fields, "output_length", place),
    blocks,
  };
}

function numberField(fields: Record<string, unknown>, name: string, place: string): number {
  const value = fields[name];
  if (typeof value === "number" && value >= 0 && Number.isFinite(value)) return value;
  throw new UsageError(
    `${place}: wanted "${name}" to be a number from 0, got ${JSON.stringify(value)}`,
  );
}

function isWholeNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
