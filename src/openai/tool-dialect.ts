import { randomBytes, randomUUID } from "node:crypto";

/**
 * The form in which a model writes its tool calls. Each call is a JSON object with the function's name
 * and its arguments.
 */
export interface ToolDialect {
  /** What calls begin with. */
  readonly marker: string;
  /** Whether a message may also begin with a call and no marker. */
  readonly canBeBare: boolean;
  /** What may stand between two calls behind a marker. */
  readonly separators: RegExp;
  /** What ends the calls of one marker; "" where the end of the JSON does. */
  readonly closer: string;
  readonly argumentsKey: "arguments" | "parameters";
  /** What stands between a name and its arguments, in place of an object that holds both. */
  readonly nameEnd?: string | undefined;
  /** What the calls of a required answer are made of, in the order in which they are written. */
  readonly layout: {
    readonly begin: string;
    readonly beginCall: string;
    readonly between: string;
    readonly endCall: string;
    readonly end: string;
  };
  newCallId(): string;
}

const noLayout = { begin: "", beginCall: "", between: "", endCall: "", end: "" };

/** Hermes, Qwen: <tool_call>{"name": "f", "arguments": {}}</tool_call> */
const hermes: ToolDialect = {
  marker: "<tool_call>",
  canBeBare: false,
  separators: /^\s+/,
  closer: "</tool_call>",
  argumentsKey: "arguments",
  layout: { ...noLayout, beginCall: "<tool_call>\n", between: "\n", endCall: "\n</tool_call>" },
  newCallId: openAiCallId,
};

/** Llama 3: {"name": "f", "parameters": {}} */
const llama3: ToolDialect = {
  marker: "<|python_tag|>",
  canBeBare: true,
  separators: /^[\s;,]+/,
  closer: "",
  argumentsKey: "parameters",
  layout: { ...noLayout, between: "; " },
  newCallId: openAiCallId,
};

/** Mistral: [TOOL_CALLS][{"name": "f", "arguments": {}}] */
const mistral: ToolDialect = {
  marker: "[TOOL_CALLS]",
  canBeBare: false,
  separators: /^[\s,[]+/,
  closer: "]",
  argumentsKey: "arguments",
  layout: { ...noLayout, begin: "[TOOL_CALLS][", between: ", ", end: "]" },
  newCallId: mistralCallId,
};

/** Mistral since 2025: [TOOL_CALLS]f[ARGS]{} */
const mistralNamed: ToolDialect = {
  ...mistral,
  separators: /^\s+/,
  closer: "",
  nameEnd: "[ARGS]",
  layout: { ...noLayout, beginCall: "[TOOL_CALLS]" },
};

/** @returns undefined for a form that is not known */
export function toolDialectOf(templateSource: string): ToolDialect | undefined {
  const has = (text: string): boolean => templateSource.includes(text);
  if (has("[TOOL_CALLS]")) return has("[ARGS]") ? mistralNamed : mistral;
  // These put XML between the same markers.
  if (has("<function=") || has("<arg_key>")) return undefined;
  if (has("<tool_call>")) return hermes;
  if (has("<|python_tag|>") || (has("ipython") && has('"parameters"'))) return llama3;
  return undefined;
}

function openAiCallId(): string {
  return `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`;
}

/** Mistral's templates take ids of nine letters and digits only. */
function mistralCallId(): string {
  return randomBytes(5).toString("hex").slice(0, 9);
}
