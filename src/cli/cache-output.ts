import { pipeline } from "node:stream/promises";

export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, undefined, 2));
}

/** Prints line after line, no faster than they are taken. Ends quietly when nobody reads on, as in `| head`. */
export async function printLines(lines: AsyncIterable<string>): Promise<void> {
  try {
    await pipeline(withNewlines(lines), process.stdout, { end: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  }
}

async function* withNewlines(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}

/** One JSON list, an item a line. */
export async function* jsonListLines(items: AsyncIterable<unknown>): AsyncGenerator<string> {
  let previous: string | undefined;
  yield "[";
  for await (const item of items) {
    if (previous !== undefined) yield `${previous},`;
    previous = `  ${JSON.stringify(item)}`;
  }
  if (previous !== undefined) yield previous;
  yield "]";
}
