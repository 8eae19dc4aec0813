import { z } from "zod";
import { UsageError } from "../core/index.ts";
import type { ChatTool } from "../engine/index.ts";
import { deepJsonObject } from "./json-object.ts";

/** A tool as a request describes it. */
export interface ToolFields {
  readonly type: "function";
  readonly function: ChatTool["function"] & {
    /** Whether the arguments must be of the schema. */
    readonly strict?: boolean | undefined;
  };
}

export type ToolChoiceFields =
  | "none"
  | "auto"
  | "required"
  | { readonly type: "function"; readonly function: { readonly name: string } };

const MAX_TOOLS = 128;
const MAX_DESCRIPTION_LENGTH = 64 * 1024;

const functionName = z
  .string()
  .regex(/^[a-zA-Z0-9_.-]{1,64}$/, "expected 1 to 64 letters, digits or any of _ . -");

const tool: z.ZodType<ToolFields> = z
  .strictObject({
    type: z.literal("function", { error: 'expected a tool of type "function"' }),
    function: z.strictObject({
      name: functionName,
      description: z.string().max(MAX_DESCRIPTION_LENGTH).nullish(),
      parameters: deepJsonObject.nullish(),
      strict: z.boolean().nullish(),
    }),
  })
  .transform(({ type, function: { name, description, parameters, strict } }) => ({
    type,
    function: {
      name,
      ...(description != null && { description }),
      ...(parameters != null && { parameters }),
      ...(strict != null && { strict }),
    },
  }));

export const toolsShape: z.ZodType<readonly ToolFields[]> = z.array(tool).max(MAX_TOOLS);

export const toolChoiceShape: z.ZodType<ToolChoiceFields> = z.union(
  [
    z.enum(["none", "auto", "required"]),
    z.strictObject({
      type: z.literal("function"),
      function: z.strictObject({ name: functionName }),
    }),
  ],
  {
    error: 'expected "none", "auto", "required" or {"type":"function","function":{"name":"..."}}',
  },
);

/** What a request wants of its tools. */
export interface ToolWish {
  readonly tools: readonly ToolFields[];
  /** The only function that may be called; undefined: any of them. */
  readonly onlyName?: string | undefined;
  /** Whether there must be a call. */
  readonly isRequired: boolean;
  /** Whether there may be several calls. */
  readonly isParallel: boolean;
}

/**
 * @returns undefined when the model is not to know of any tools
 * @throws UsageError for a choice that the tools do not allow
 */
export function readToolWish(fields: {
  readonly tools?: readonly ToolFields[] | undefined;
  readonly tool_choice?: ToolChoiceFields | undefined;
  readonly parallel_tool_calls?: boolean | undefined;
}): ToolWish | undefined {
  const { tools = [], tool_choice: toolChoice = "auto" } = fields;
  const names = new Set(tools.map((tool) => tool.function.name));
  if (names.size < tools.length) {
    throw new UsageError("Invalid 'tools': two of them have one name", { param: "tools" });
  }
  if (tools.length === 0 && toolChoice !== "none" && toolChoice !== "auto") {
    throw new UsageError("'tool_choice' asks for a call, but there are no 'tools'", {
      param: "tool_choice",
    });
  }
  if (tools.length === 0 || toolChoice === "none") return undefined;
  const isParallel = fields.parallel_tool_calls ?? true;
  if (typeof toolChoice === "string") {
    return { tools, isRequired: toolChoice === "required", isParallel };
  }
  const { name } = toolChoice.function;
  if (!names.has(name)) {
    throw new UsageError(`Invalid 'tool_choice': 'tools' has no function "${name}"`, {
      param: "tool_choice",
    });
  }
  return { tools, onlyName: name, isRequired: true, isParallel: false };
}
