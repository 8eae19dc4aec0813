import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { UsageError, messageOf } from "../core/index.ts";
import type { PromptBody } from "./cache-server.ts";

/** The flags that name a prompt. */
export interface PromptFlags {
  readonly prompt?: string;
  readonly file?: string;
  readonly messages?: string;
  readonly tokens?: string;
  readonly cacheSalt?: string;
}

const SOURCES = ["prompt", "file", "messages", "tokens"] as const;

export function addPromptFlags(command: Command): Command {
  return command
    .option("--prompt <text>", "the prompt, as for /v1/completions")
    .option("--file <file>", "a file that holds the prompt")
    .option("--messages <file>", "a JSON file with a list of chat messages")
    .option("--tokens <file>", "a JSON file with a list of token ids")
    .addOption(new Option("--cache-salt <salt>", "the cache_salt that requests carry"));
}

/** @throws UsageError unless exactly one prompt is named and its file can be read */
export function readPromptBody(flags: PromptFlags): PromptBody {
  const body = readOptionalPromptBody(flags);
  if (body !== undefined) return body;
  throw new UsageError("Missing a prompt: wanted --prompt, --file, --messages or --tokens");
}

/** @returns undefined when no prompt is named */
export function readOptionalPromptBody(flags: PromptFlags): PromptBody | undefined {
  const given = SOURCES.filter((source) => flags[source] !== undefined);
  if (given.length > 1) {
    const names = given.map((source) => `--${source}`).join(" and ");
    throw new UsageError(`Cannot use ${names} together: wanted one prompt`);
  }
  const salt = flags.cacheSalt === undefined ? {} : { cache_salt: flags.cacheSalt };
  switch (given[0]) {
    case "prompt":
      return { prompt: flags.prompt, ...salt };
    case "file":
      return { prompt: readText("--file", flags.file!), ...salt };
    case "messages":
      return { messages: readList("--messages", flags.messages!), ...salt };
    case "tokens":
      return { tokens: readList("--tokens", flags.tokens!), ...salt };
    case undefined:
      if (flags.cacheSalt === undefined) return undefined;
      throw new UsageError("Cannot use --cache-salt without a prompt", { param: "--cache-salt" });
  }
}

function readText(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`Cannot read ${flag} "${file}": ${messageOf(error)}`, {
      param: flag,
      cause: error,
    });
  }
}

/** The server looks at what is in the list. */
function readList(flag: string, file: string): unknown[] {
  const text = readText(flag, file);
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`Cannot read ${flag} "${file}" as JSON: ${messageOf(error)}`, {
      param: flag,
      cause: error,
    });
  }
  if (Array.isArray(list)) return list;
  throw new UsageError(`Cannot use ${flag} "${file}": wanted a JSON list`, { param: flag });
}
