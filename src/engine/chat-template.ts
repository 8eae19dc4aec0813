import { Template } from "@huggingface/jinja";
import { UsageError, messageOf } from "../core/index.ts";
import type { ModelInfo } from "./engine.ts";

/** One turn, as templates read it. */
export interface ChatMessage {
  readonly role: "system" | "developer" | "user" | "assistant" | "tool";
  readonly content: string;
  readonly name?: string | undefined;
  /** What the assistant thought before it spoke; templates that know it decide whether to keep it. */
  readonly reasoning_content?: string | undefined;
  /** What the assistant asked for. */
  readonly tool_calls?: readonly ChatToolCall[] | undefined;
  /** Of a tool's answer: the call it answers. */
  readonly tool_call_id?: string | undefined;
}

export interface ChatToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: {
    readonly name: string;
    /** Parsed; the text as it came where it is not JSON. */
    readonly arguments: unknown;
  };
}

/** A function that the model may ask for, as OpenAI's API and templates describe it. */
export interface ChatTool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string | undefined;
    /** A JSON schema. */
    readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  };
}

export interface RenderOptions {
  /** End the prompt where the assistant begins to speak. Default true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Further variables of the template: { enable_thinking: false }. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** End the prompt within the last message, which the assistant goes on with. Default false. */
  readonly continueFinalMessage?: boolean | undefined;
  /** What the answer may draw on. Only for a template that knows them; see `source`. */
  readonly documents?: readonly Readonly<Record<string, unknown>>[] | undefined;
  /** Only for a template that knows them; see `source`. */
  readonly tools?: readonly ChatTool[] | undefined;
}

/** Turns messages into the text a model was trained on. The template is the model's own or the user's. */
export class ChatTemplate {
  /** Jinja. Its words tell which form the model's thoughts and tool calls have. */
  readonly source: string;
  readonly #template: Template;
  readonly #model: Pick<ModelInfo, "bosText" | "eosText" | "addsBos">;
  /** Few templates know this role; to the others it is what it replaced, "system". */
  readonly #knowsDeveloper: boolean;

  /** @throws UsageError when the template is not valid Jinja */
  constructor(source: string, model: Pick<ModelInfo, "bosText" | "eosText" | "addsBos">) {
    try {
      this.#template = new Template(source);
    } catch (error) {
      throw new UsageError(`Cannot read the chat template: ${messageOf(error)}`, { cause: error });
    }
    this.source = source;
    this.#model = model;
    this.#knowsDeveloper = /["']developer["']/.test(source);
  }

  /**
   * The prompt's text, to be tokenized with the model's special tokens added and parsed: a leading BOS
   * is cut off where the tokenizer puts one itself.
   *
   * @throws UsageError with the template's own words when it refuses the messages
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const { bosText, eosText, addsBos } = this.#model;
    let text: string;
    try {
      text = this.#template.render({
        ...options.variables,
        messages: messages.map((message) => this.#withKnownRole(message)),
        ...(options.tools !== undefined && { tools: options.tools }),
        ...(options.documents !== undefined && { documents: options.documents }),
        add_generation_prompt: options.addGenerationPrompt ?? true,
        bos_token: bosText,
        eos_token: eosText,
      });
    } catch (error) {
      throw new UsageError(`The chat template refused the messages: ${messageOf(error)}`, {
        param: "messages",
        cause: error,
      });
    }
    if (options.continueFinalMessage === true) text = cutBehindLast(text, messages);
    return addsBos && bosText !== "" && text.startsWith(bosText)
      ? text.slice(bosText.length)
      : text;
  }

  #withKnownRole(message: ChatMessage): ChatMessage {
    if (message.role !== "developer" || this.#knowsDeveloper) return message;
    return { ...message, role: "system" };
  }
}

/** Templates may trim a message. */
function cutBehindLast(text: string, messages: readonly ChatMessage[]): string {
  const content = messages.at(-1)?.content ?? "";
  const start = text.lastIndexOf(content.trim());
  if (start < 0 || content.trim() === "") {
    throw new UsageError(
      "Cannot continue the final message: the chat template does not show it as it is",
      { param: "continue_final_message" },
    );
  }
  const whole = content.trimStart();
  return text.slice(0, start) + (text.startsWith(whole, start) ? whole : content.trim());
}
