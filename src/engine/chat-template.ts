import { Template } from "@huggingface/jinja";
import { UsageError, messageOf } from "../core/index.ts";
import type { ModelInfo } from "./engine.ts";

/** One turn, as templates read it. */
export interface ChatMessage {
  readonly role: "system" | "developer" | "user" | "assistant";
  readonly content: string;
  readonly name?: string | undefined;
  /** What the assistant thought before it spoke; templates that know it decide whether to keep it. */
  readonly reasoning_content?: string | undefined;
}

export interface RenderOptions {
  /** End the prompt where the assistant begins to speak. Default true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Further variables of the template: { enable_thinking: false }. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/** Turns messages into the text a model was trained on. The template is the model's own or the user's. */
export class ChatTemplate {
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
    return addsBos && bosText !== "" && text.startsWith(bosText)
      ? text.slice(bosText.length)
      : text;
  }

  #withKnownRole(message: ChatMessage): ChatMessage {
    if (message.role !== "developer" || this.#knowsDeveloper) return message;
    return { ...message, role: "system" };
  }
}
