import type { z } from "zod";
import { UsageError } from "../core/index.ts";

/** Fields that tell about a request and do not change its answer: accepted, without effect. */
const METADATA_FIELDS: ReadonlySet<string> = new Set([
  "user",
  "metadata",
  "store",
  "service_tier",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_options",
  "prompt_cache_retention",
  // Which library keeps an answer in its format: here it is llama.cpp.
  "guided_decoding_backend",
]);

/**
 * Fields of OpenAI's and vLLM's APIs that cannot be honoured, each with the values that ask for
 * nothing. Null always asks for nothing.
 */
const UNSUPPORTED_FIELDS: ReadonlyMap<string, readonly unknown[]> = new Map<string, unknown[]>([
  ["add_special_tokens", [false]],
  ["audio", []],
  ["best_of", [1]],
  ["chat_template", []],
  ["chat_template_kwargs", []],
  ["continue_final_message", [false]],
  ["detokenize", [true]],
  ["documents", [[]]],
  ["echo", [false]],
  ["function_call", ["none", "auto"]],
  ["functions", [[]]],
  ["grammar", []],
  ["guided_grammar", []],
  ["guided_whitespace_pattern", []],
  ["include_reasoning", [true]],
  ["length_penalty", [1]],
  ["logits_processors", [[]]],
  ["mm_processor_kwargs", []],
  ["modalities", [["text"]]],
  ["moderation", []],
  ["parallel_tool_calls", [true, false]],
  ["prediction", []],
  ["reasoning_effort", []],
  ["skip_special_tokens", [true]],
  ["spaces_between_special_tokens", [true]],
  ["suffix", [""]],
  ["tool_choice", ["none", "auto"]],
  ["tools", [[]]],
  ["use_beam_search", [false]],
  ["verbosity", ["medium"]],
  ["web_search_options", []],
]);

/**
 * Checks a parsed JSON body. A field that is null counts as absent, as in OpenAI's API.
 *
 * @throws UsageError that names the first field that is wrong, unknown or cannot be honoured
 */
export function parseRequestBody<Fields>(schema: z.ZodObject, body: unknown): Fields {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new UsageError(`The request body must be a JSON object: it is ${describe(body)}`);
  }
  const fields = new Map<string, unknown>();
  for (const [name, value] of Object.entries(body)) {
    if (value === null || METADATA_FIELDS.has(name)) continue;
    if (Object.hasOwn(schema.shape, name)) fields.set(name, value);
    else refuse(name, value);
  }
  const result = schema.safeParse(Object.fromEntries(fields));
  if (result.success) return result.data as Fields;
  const issue = result.error.issues[0]!;
  const param = paramOf(issue.path);
  throw new UsageError(`Invalid '${param}': ${sentence(issue, body)}`, { param });
}

/** Returns if the field asks for nothing. */
function refuse(name: string, value: unknown): void {
  const neutral = UNSUPPORTED_FIELDS.get(name);
  if (neutral === undefined) {
    throw new UsageError(`Unknown field '${name}' in the request body`, { param: name });
  }
  if (neutral.some((candidate) => isEqual(candidate, value))) return;
  const allowed = ["null", ...neutral.map((candidate) => JSON.stringify(candidate))].join(" or ");
  throw new UsageError(
    `This server cannot honour '${name}': leave it out or set it to ${allowed}, not ${describe(value)}`,
    { param: name },
  );
}

function isEqual(neutral: unknown, value: unknown): boolean {
  if (!Array.isArray(neutral) || !Array.isArray(value)) return neutral === value;
  return neutral.length === value.length && neutral.every((item, i) => item === value[i]);
}

/** ["messages", 0, "content"] -> "messages[0].content". */
function paramOf(path: readonly PropertyKey[]): string {
  let param = "";
  for (const step of path) {
    if (typeof step === "number") param += `[${step}]`;
    else param += param === "" ? String(step) : `.${String(step)}`;
  }
  return param;
}

function sentence(issue: z.core.$ZodIssue, body: unknown): string {
  let value = body;
  for (const step of issue.path)
    value = (value as Record<PropertyKey, unknown> | undefined)?.[step];
  const wanted = issue.message.replace(/^(Invalid input|Too small|Too big): /, "");
  if (issue.code === "unrecognized_keys") return `unknown field '${issue.keys[0]}'`;
  if (value !== undefined) return `${wanted}, got ${describe(value)}`;
  // zod's own words for a field that is not there mean nothing to a client.
  return /nonoptional|received undefined/.test(wanted)
    ? "it is missing"
    : `it is missing; ${wanted}`;
}

const MAX_QUOTED_LENGTH = 40;

/** Short, whatever its size: the value may be megabytes long or nested a million deep. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return "nothing";
  const cut = value.length > MAX_QUOTED_LENGTH ? `${value.slice(0, MAX_QUOTED_LENGTH)}...` : value;
  return JSON.stringify(cut);
}
