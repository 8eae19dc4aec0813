import { randomBytes, randomUUID } from "node:crypto";
import { CHANNEL, MESSAGE } from "./channel-parser.ts";

/**
 * The form in which a model writes its tool calls. Each call is a JSON object with the function's name
 * and its arguments, or has `markup`.
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
  /** Tags in place of JSON. */
  readonly markup?: ToolMarkup | undefined;
  /** What the calls of a required answer are made of, in the order in which they are written. */
  readonly layout: {
    readonly begin: string;
    readonly beginCall: string;
    /** Undefined: an answer ends with its first call. */
    readonly between: string | undefined;
    readonly endCall: string;
    readonly end: string;
  };
  newCallId(): string;
}

/** A call whose arguments are plain text between tags. */
export interface ToolMarkup {
  readonly begin: string;
  /** What ends the name; a ">" is part of it, anything else is not. */
  readonly nameEnd: RegExp;
  readonly keyBegin: string;
  /** Between a key and its value. */
  readonly keyEnd: RegExp;
  readonly valueEnd: string;
  /** Around a value, once on each side where it is. */
  readonly padding: string;
  readonly end: string;
  /** How the tags are written. */
  readonly write: {
    readonly nameEnd: string;
    readonly keyEnd: string;
    /** Behind each argument. */
    readonly valueEnd: string;
  };
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

/** Qwen3-Coder: <tool_call><function=f><parameter=a>text</parameter></function></tool_call> */
const qwenCoder: ToolDialect = {
  ...hermes,
  markup: {
    begin: "<function=",
    nameEnd: />/,
    keyBegin: "<parameter=",
    keyEnd: />/,
    valueEnd: "</parameter>",
    padding: "\n",
    end: "</function>",
    write: { nameEnd: ">\n", keyEnd: ">\n", valueEnd: "\n</parameter>\n" },
  },
};

/** GLM 4.5 and later: <tool_call>f<arg_key>a</arg_key><arg_value>text</arg_value></tool_call> */
const glm: ToolDialect = {
  ...hermes,
  closer: "",
  layout: { ...noLayout, beginCall: "<tool_call>", between: "\n" },
  markup: {
    begin: "",
    nameEnd: /[\s<]/,
    keyBegin: "<arg_key>",
    keyEnd: /<\/arg_key>\s*<arg_value>/,
    valueEnd: "</arg_value>",
    padding: "",
    end: "</tool_call>",
    write: {
      nameEnd: "\n",
      keyEnd: "</arg_key>\n<arg_value>",
      valueEnd: "</arg_value>\n",
    },
  },
};

/** gpt-oss: a message to a function. See ChannelParser, which reads it. */
const channels: ToolDialect = {
  marker: " to=functions.",
  canBeBare: false,
  separators: /^\s+/,
  closer: "",
  argumentsKey: "arguments",
  nameEnd: ` <|constrain|>json${MESSAGE}`,
  layout: {
    ...noLayout,
    beginCall: `${CHANNEL}commentary to=functions.`,
    between: undefined,
  },
  newCallId: openAiCallId,
};

/** @returns undefined for a form that is not known */
export function toolDialectOf(templateSource: string): ToolDialect | undefined {
  const has = (text: string): boolean => templateSource.includes(text);
  if (has(CHANNEL) && has(MESSAGE)) return has("functions.") ? channels : undefined;
  if (has("[TOOL_CALLS]")) return has("[ARGS]") ? mistralNamed : mistral;
  if (has("<arg_key>")) return glm;
  if (has("<function=")) return has("<parameter=") && has("<tool_call>") ? qwenCoder : undefined;
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
