import { UsageError } from "../../core/index.ts";
import type { AnswerFormat } from "../answer-format.ts";
import { CHANNEL, END_MESSAGE, MESSAGE, START } from "../channel-parser.ts";
import { END_THINK, THINK } from "../message-parser.ts";
import type { ReasoningStart } from "../message-parser.ts";
import type { ToolDialect, ToolMarkup } from "../tool-dialect.ts";
import type { ToolFields, ToolWish } from "../tools.ts";
import { EMPTY, GbnfRules, choice, literal, textWithout } from "./gbnf.ts";
import { JsonSchemaGrammar } from "./json-schema.ts";
import { JsonValues } from "./json-values.ts";
import { anyMarkupArguments, markupArguments } from "./markup-arguments.ts";
import { textPatternExpression } from "./pattern.ts";

export interface AnswerForm {
  /** Undefined: any text. */
  readonly format: AnswerFormat | undefined;
  readonly reasoning: ReasoningStart;
  /** Undefined: there are no tools. */
  readonly tools: { readonly wish: ToolWish; readonly dialect: ToolDialect } | undefined;
}

/** Most calls of one answer. */
const MAX_CALLS = 16;

/**
 * GBNF of the answers that a request allows; thoughts may come first.
 *
 * @returns undefined when any text will do
 * @throws UsageError for a schema that cannot be honoured
 */
export function answerGrammar(form: AnswerForm): string | undefined {
  const rules = new GbnfRules();
  const { format, tools, reasoning } = form;
  const inFormat = format && formatExpression(rules, format);
  const json =
    reasoning === "channels" && inFormat !== undefined
      ? `${literal(`${CHANNEL}final${MESSAGE}`)} ${inFormat}`
      : inFormat;
  let root = json;
  if (tools !== undefined) {
    const { wish, dialect } = tools;
    const isStrict = wish.tools.some((tool) => tool.function.strict === true);
    if (wish.isRequired) {
      root = callsExpression(rules, wish, dialect);
    } else if (json !== undefined) {
      root = choice([callsExpression(rules, wish, dialect), json]);
    } else if (isStrict) {
      root = freeTextThenCalls(rules, wish, dialect);
    }
  }
  return root === undefined ? undefined : rules.text(`${thoughts(rules, reasoning)} ${root}`);
}

function thoughts(rules: GbnfRules, reasoning: ReasoningStart): string {
  if (reasoning === "never") return EMPTY;
  if (reasoning === "channels") {
    const begin = literal(`${CHANNEL}analysis${MESSAGE}`);
    const end = literal(`${END_MESSAGE}${START}assistant`);
    return `(${begin} ${textWithout(rules, END_MESSAGE)} ${end})?`;
  }
  const rest = `${textWithout(rules, END_THINK)} ${literal(END_THINK)} [ \\t\\n]{0,4}`;
  return reasoning === "begun" ? rest : `(${literal(THINK)} ${rest})?`;
}

function formatExpression(rules: GbnfRules, format: AnswerFormat): string {
  switch (format.kind) {
    case "object":
      return new JsonValues(rules).object;
    case "schema":
      return new JsonSchemaGrammar(rules, format.schema, format.param).expression();
    case "choice":
      return choice(format.texts.map(literal));
    case "pattern":
      return textPatternExpression(rules, format.pattern, format.param);
  }
}

function callsExpression(rules: GbnfRules, wish: ToolWish, dialect: ToolDialect): string {
  const { begin, between, end } = dialect.layout;
  const { tools, onlyName } = wish;
  const callable = tools
    .map((tool, index) => ({ tool, index }))
    .filter(({ tool }) => onlyName === undefined || tool.function.name === onlyName);
  const calls = callable.map(({ tool, index }) =>
    callExpression(rules, tool, index, wish, dialect),
  );
  const call = rules.rule(choice(calls));
  const more =
    wish.isParallel && between !== undefined
      ? rules.repetition(`${literal(between)} ${call}`, 0, MAX_CALLS - 1)
      : EMPTY;
  return `${literal(begin)} ${call} ${more} ${literal(end)}`;
}

function callExpression(
  rules: GbnfRules,
  tool: ToolFields,
  index: number,
  wish: ToolWish,
  dialect: ToolDialect,
): string {
  const { name } = tool.function;
  const { layout, nameEnd, argumentsKey, markup } = dialect;
  const given = argumentsExpression(
    rules,
    tool,
    `tools[${index}].function.parameters`,
    wish,
    markup,
  );
  const call =
    markup !== undefined
      ? `${literal(markup.begin + name + markup.write.nameEnd)} ${given} ${literal(markup.end)}`
      : nameEnd === undefined
        ? `${literal(`{"name": ${JSON.stringify(name)}, "${argumentsKey}": `)} ${given} "}"`
        : `${literal(name + nameEnd)} ${given}`;
  return `${literal(layout.beginCall)} ${call} ${literal(layout.endCall)}`;
}

/** Without `strict` a schema is advice: one that cannot be honoured allows any arguments. */
function argumentsExpression(
  rules: GbnfRules,
  tool: ToolFields,
  param: string,
  wish: ToolWish,
  markup: ToolMarkup | undefined,
): string {
  const { parameters, strict = false } = tool.function;
  const schema = { type: "object", properties: {}, additionalProperties: false, ...parameters };
  const express = (into: GbnfRules): string =>
    markup === undefined
      ? new JsonSchemaGrammar(into, schema, param).expression()
      : markupArguments(into, markup, schema, param);
  if (strict || (wish.isRequired && isExpressible(express))) return express(rules);
  return markup === undefined ? new JsonValues(rules).object : anyMarkupArguments(rules, markup);
}

function isExpressible(express: (into: GbnfRules) => string): boolean {
  try {
    express(new GbnfRules());
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

/** Text in which no call begins, and then calls or the end. */
function freeTextThenCalls(rules: GbnfRules, wish: ToolWish, dialect: ToolDialect): string {
  const calls = callsExpression(rules, wish, dialect);
  const text = textWithout(rules, dialect.marker);
  if (dialect.canBeBare) return `(${calls} | ([^{ \\t\\n] ${text})?)`;
  return `${text} (${calls})?`;
}
