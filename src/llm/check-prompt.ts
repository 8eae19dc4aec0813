import { UsageError } from "../core/index.ts";
import type { ChatMessage } from "../engine/index.ts";

/** @throws UsageError for what plain JavaScript may have given in place of a prompt */
export function checkPrompt(prompt: unknown, vocabSize: number): void {
  if (typeof prompt === "string") return;
  if (prompt instanceof Int32Array) {
    const wrong = prompt.find((token) => token < 0 || token >= vocabSize);
    if (wrong === undefined) return;
    throw new UsageError(`Cannot use token id ${wrong}: wanted one from 0 to ${vocabSize - 1}`, {
      param: "prompt",
    });
  }
  throw new UsageError(
    `Cannot use ${describe(prompt)} as a prompt: wanted a text, or token ids in an Int32Array`,
    { param: "prompt" },
  );
}

/** @throws UsageError where there is nothing to answer */
export function checkMessages(messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    const given = Array.isArray(messages) ? "an empty list" : describe(messages);
    throw new UsageError(`Cannot use ${given} as messages: wanted a list of at least one`, {
      param: "messages",
    });
  }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null
    ? "an object"
    : (JSON.stringify(value) ?? String(value));
}
