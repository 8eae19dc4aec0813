import { z } from "zod";
import { UsageError } from "../core/index.ts";
import { deepJsonObject } from "./json-object.ts";
import type { JsonObject } from "./json-object.ts";
import type { ResponseFormat } from "./response-format.ts";
import type { ShapeOf } from "./sampling-fields.ts";

/** What an answer must look like, whichever field asks for it. */
export type AnswerFormat =
  | { readonly kind: "object" }
  | { readonly kind: "schema"; readonly schema: JsonObject; readonly param: string }
  | { readonly kind: "choice"; readonly texts: readonly string[] }
  | { readonly kind: "pattern"; readonly pattern: string; readonly param: string };

interface StructuredOutputs {
  readonly json?: JsonObject | null | undefined;
  readonly json_object?: boolean | null | undefined;
  readonly regex?: string | null | undefined;
  readonly choice?: readonly string[] | null | undefined;
  readonly grammar?: null | undefined;
}

/** Beside OpenAI's response_format: vLLM's of today, vLLM's of before, llama-server's. */
export interface FormatFields {
  readonly structured_outputs?: StructuredOutputs | undefined;
  readonly guided_json?: JsonObject | undefined;
  readonly guided_regex?: string | undefined;
  readonly guided_choice?: readonly string[] | undefined;
  readonly json_schema?: JsonObject | undefined;
}

const MAX_PATTERN_LENGTH = 4096;
const MAX_CHOICES = 1000;
const MAX_CHOICE_LENGTH = 1024;

/** vLLM's clients send a schema as an object or as its text. */
const schema = z.preprocess((value) => {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}, deepJsonObject) as z.ZodType<JsonObject>;
const pattern = z.string().min(1).max(MAX_PATTERN_LENGTH);
const choices = z.array(z.string().min(1).max(MAX_CHOICE_LENGTH)).min(1).max(MAX_CHOICES);

export const formatShape: ShapeOf<FormatFields> = {
  structured_outputs: z
    .strictObject({
      json: schema.nullish(),
      json_object: z.boolean().nullish(),
      regex: pattern.nullish(),
      choice: choices.nullish(),
      grammar: z.null({ error: "this server cannot honour it: it takes no grammars" }).optional(),
    })
    .optional(),
  guided_json: schema.optional(),
  guided_regex: pattern.optional(),
  guided_choice: choices.optional(),
  json_schema: schema.optional(),
};

/**
 * @returns undefined when any text will do
 * @throws UsageError when two fields ask for a format
 */
export function readAnswerFormat(
  fields: FormatFields & { readonly response_format?: ResponseFormat | undefined },
): AnswerFormat | undefined {
  const { structured_outputs: structured = {} } = fields;
  const formats = [
    responseFormat(fields.response_format),
    structured.json_object === true ? ({ kind: "object" } as const) : undefined,
    schemaFormat(structured.json, "structured_outputs.json"),
    patternFormat(structured.regex, "structured_outputs.regex"),
    choiceFormat(structured.choice),
    schemaFormat(fields.guided_json, "guided_json"),
    patternFormat(fields.guided_regex, "guided_regex"),
    choiceFormat(fields.guided_choice),
    schemaFormat(fields.json_schema, "json_schema"),
  ].filter((format) => format !== undefined);
  if (formats.length > 1) {
    throw new UsageError(
      "An answer has one format: expected one of 'response_format', 'structured_outputs' and its fields, got several",
      { param: fields.structured_outputs === undefined ? "response_format" : "structured_outputs" },
    );
  }
  return formats[0];
}

function responseFormat(format: ResponseFormat | undefined): AnswerFormat | undefined {
  if (format === undefined || format.type === "text") return undefined;
  const wanted = format.type === "json_schema" ? format.json_schema.schema : undefined;
  return schemaFormat(wanted, "response_format.json_schema.schema") ?? { kind: "object" };
}

function schemaFormat(
  wanted: JsonObject | null | undefined,
  param: string,
): AnswerFormat | undefined {
  return wanted == null ? undefined : { kind: "schema", schema: wanted, param };
}

function patternFormat(text: string | null | undefined, param: string): AnswerFormat | undefined {
  return text == null ? undefined : { kind: "pattern", pattern: text, param };
}

function choiceFormat(texts: readonly string[] | null | undefined): AnswerFormat | undefined {
  return texts == null ? undefined : { kind: "choice", texts };
}
