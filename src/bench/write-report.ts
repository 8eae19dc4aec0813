import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, UsageError } from "../core/index.ts";

/**
 * Writes a report as JSON; the directory is made when missing.
 *
 * @throws UsageError when the file cannot be written
 */
export async function writeReport(report: object, file: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
  } catch (error) {
    throw new UsageError(`Cannot write the report to "${file}": ${messageOf(error)}`, {
      param: "--json",
      cause: error,
    });
  }
}
