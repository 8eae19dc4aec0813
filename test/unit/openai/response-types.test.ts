import type OpenAI from "openai";
import { describe, expectTypeOf, it } from "vitest";
import type {
  ChatChunk,
  ChatLogprobs,
  ChatResponse,
  CompletionLogprobs,
  ErrorBody,
  ModelCard,
  Usage,
} from "../../../src/openai/index.ts";

/** The client's types are not readonly. */
type Mutable<T> = T extends readonly (infer Item)[]
  ? Mutable<Item>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Mutable<T[Key]> }
    : T;

type NonNullItems<T> = {
  [Key in keyof T]: T[Key] extends (infer Item)[] ? NonNullable<Item>[] : never;
};

describe("response types", () => {
  it("are what the openai client expects", () => {
    expectTypeOf<Mutable<ChatResponse>>().toExtend<OpenAI.ChatCompletion>();
    expectTypeOf<Mutable<Omit<ChatChunk, "usage">>>().toExtend<OpenAI.ChatCompletionChunk>();
    expectTypeOf<ChatLogprobs>().toExtend<OpenAI.ChatCompletion.Choice.Logprobs>();
    // OpenAI's API writes null where its client's types do not say so.
    expectTypeOf<NonNullItems<CompletionLogprobs>>().toExtend<OpenAI.CompletionChoice.Logprobs>();
    expectTypeOf<Usage>().toExtend<OpenAI.CompletionUsage>();
    expectTypeOf<ModelCard>().toExtend<OpenAI.Model>();
    expectTypeOf<ErrorBody["error"]["message"]>().toExtend<OpenAI.ErrorObject["message"]>();
  });
});
