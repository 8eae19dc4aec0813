import { readFileSync } from "node:fs";
import { UsageError, messageOf } from "../core/index.ts";

/** A template's text holds what no path does. */
const IS_TEMPLATE = /\{[{%#]|\n/;

/**
 * Reads --chat-template, as vLLM does: a path, or the template itself.
 *
 * @throws UsageError when it is a path that cannot be read
 */
export function readChatTemplate(value: string): string {
  if (IS_TEMPLATE.test(value)) return value;
  try {
    return readFileSync(value, "utf8");
  } catch (error) {
    throw new UsageError(`Cannot read --chat-template "${value}": ${messageOf(error)}`, {
      param: "--chat-template",
      cause: error,
    });
  }
}
