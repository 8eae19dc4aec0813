import { formatBytes, systemClock, tableLines } from "../core/index.ts";
import { CacheDirectory } from "./cache-directory.ts";
import type { ChunkFile, InspectedHeader } from "./cache-directory.ts";
import { jsonListLines, printJson, printLines } from "./cache-output.ts";
import { formatAge, plural } from "./cache-words.ts";
import { type Finding, verifyDirectory } from "./cache-verify.ts";
import { ProgressLine } from "./progress.ts";

export interface DirectoryFlags {
  readonly dir: readonly string[];
  readonly json?: true;
}

interface ModelTotals {
  numChunks: number;
  numBytes: number;
  oldestMs: number;
  newestMs: number;
}

/** `warmkv cache stats --dir` */
export async function showDirectoryStats(flags: DirectoryFlags): Promise<void> {
  const directory = await CacheDirectory.open(flags.dir);
  const models = new Map<string, ModelTotals>();
  let numOthers = 0;
  for await (const { chunk, fileBytes, modifiedMs } of directory.files()) {
    if (chunk === undefined) {
      numOthers++;
      continue;
    }
    const totals = models.get(chunk.model) ?? noTotals();
    totals.numChunks++;
    totals.numBytes += fileBytes;
    totals.oldestMs = Math.min(totals.oldestMs, modifiedMs);
    totals.newestMs = Math.max(totals.newestMs, modifiedMs);
    models.set(chunk.model, totals);
  }
  const all = [...models.values()];
  const numChunks = all.reduce((sum, totals) => sum + totals.numChunks, 0);
  const numBytes = all.reduce((sum, totals) => sum + totals.numBytes, 0);
  if (flags.json) {
    printJson({
      directories: directory.directories,
      num_chunks: numChunks,
      used_bytes: numBytes,
      num_other_files: numOthers,
      models: Object.fromEntries([...models].map(([name, totals]) => [name, toJson(totals)])),
    });
    return;
  }
  const nowMs = Date.now();
  const rows = [...models].map(([name, totals]) => [
    name,
    String(totals.numChunks),
    formatBytes(totals.numBytes),
    formatAge(nowMs - totals.newestMs),
    formatAge(nowMs - totals.oldestMs),
  ]);
  if (rows.length > 0) {
    const head = ["MODEL", "CHUNKS", "SIZE", "NEWEST", "OLDEST"];
    console.log(tableLines([head, ...rows]).join("\n"));
  }
  const others = numOthers === 0 ? "" : `; ${plural(numOthers, "other file")}`;
  console.log(`${plural(numChunks, "chunk")}, ${formatBytes(numBytes)}${others}`);
}

/** `warmkv cache ls --dir` */
export async function listDirectory(flags: DirectoryFlags): Promise<void> {
  const directory = await CacheDirectory.open(flags.dir);
  await printLines(
    flags.json
      ? jsonListLines(mapped(directory.inspectedChunks(), chunkJson))
      : mapped(directory.inspectedChunks(), chunkLine),
  );
}

/**
 * `warmkv cache verify --dir`
 *
 * @throws Error when something is wrong
 */
export async function verifyDirectories(
  flags: DirectoryFlags & { readonly delete?: true },
): Promise<void> {
  const directory = await CacheDirectory.open(flags.dir);
  const progress = new ProgressLine("Verifying:", process.stderr, systemClock);
  const totalBytes = process.stderr.isTTY ? await sizeOf(directory) : undefined;
  const report = await verifyDirectory(directory, {
    mustDelete: flags.delete === true,
    onProgress: (doneBytes) => progress.update(doneBytes, totalBytes),
    onFinding: (finding) => {
      progress[Symbol.dispose]();
      if (!flags.json) console.log(findingLine(finding));
    },
  }).finally(() => progress[Symbol.dispose]());
  const { numChunks, numBytes, numDamaged, numRemoved, numUnreadable } = report;
  if (flags.json) {
    printJson({
      directories: directory.directories,
      num_chunks: numChunks,
      read_bytes: numBytes,
      num_damaged: numDamaged,
      num_removed: numRemoved,
      num_unreadable: numUnreadable,
      findings: report.findings.map(({ path, reason, isRemoved }) => ({
        path,
        reason,
        removed: isRemoved,
      })),
    });
  } else {
    console.log(`Verified ${plural(numChunks, "chunk")}, ${formatBytes(numBytes)}`);
  }
  const faults = [
    ...(numDamaged > 0 ? [`${numDamaged} damaged, ${numRemoved} of them removed`] : []),
    ...(numUnreadable > 0 ? [`${numUnreadable} could not be read`] : []),
  ];
  if (faults.length > 0) throw new Error(`Of ${plural(numChunks, "chunk")}: ${faults.join("; ")}`);
}

/** `warmkv cache clear --dir` */
export async function clearDirectory(flags: DirectoryFlags): Promise<void> {
  const directory = await CacheDirectory.open(flags.dir);
  const { numChunks, numBytes } = await directory.clear();
  if (flags.json) printJson({ removed_chunks: numChunks, removed_bytes: numBytes });
  else console.log(`Removed ${plural(numChunks, "chunk")}, ${formatBytes(numBytes)}`);
}

async function sizeOf(directory: CacheDirectory): Promise<number> {
  let numBytes = 0;
  for await (const { fileBytes } of directory.chunks()) numBytes += fileBytes;
  return numBytes;
}

function noTotals(): ModelTotals {
  return { numChunks: 0, numBytes: 0, oldestMs: Infinity, newestMs: -Infinity };
}

function toJson(totals: ModelTotals): object {
  return {
    num_chunks: totals.numChunks,
    used_bytes: totals.numBytes,
    oldest: new Date(totals.oldestMs).toISOString(),
    newest: new Date(totals.newestMs).toISOString(),
  };
}

type ListedChunk = ChunkFile & InspectedHeader;

function chunkLine({ path, chunk, fileBytes, modifiedMs, header, fault }: ListedChunk): string {
  const size = formatBytes(fileBytes).padStart(11);
  const age = formatAge(Date.now() - modifiedMs).padStart(4);
  if (header === undefined) return `${chunk.model}  ?  ${size}  ${age}  ${path}: ${fault}`;
  const tokens = `[${header.start}, ${header.end})`.padEnd(16);
  return `${chunk.model}  ${tokens}  ${size}  ${age}  ${chunk.key}`;
}

function chunkJson({ path, chunk, fileBytes, modifiedMs, header, fault }: ListedChunk): object {
  return {
    path,
    model: chunk.model,
    key: chunk.key,
    bytes: fileBytes,
    modified: new Date(modifiedMs).toISOString(),
    ...(header === undefined
      ? { fault }
      : { kind: header.kind, start: header.start, end: header.end, parent: header.parent ?? null }),
  };
}

function findingLine({ path, reason, isRemoved }: Finding): string {
  return `${path}: ${reason}${isRemoved ? " (removed)" : ""}`;
}

async function* mapped<Item, Result>(
  items: AsyncIterable<Item>,
  convert: (item: Item) => Result,
): AsyncGenerator<Result> {
  for await (const item of items) yield convert(item);
}
