import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import type { Clock, Logger } from "../core/index.ts";
import type {
  ChatMessage,
  ChatTemplate,
  Engine,
  LoraModule,
  RenderOptions,
} from "../engine/index.ts";
import { ApiError, ChatFormat } from "../openai/index.ts";
import type { ResponseHead } from "../openai/index.ts";
import { SpokenTurns } from "./spoken-turns.ts";

export interface ServiceOptions {
  readonly engine: Engine;
  /** The names clients may ask for; the first one is used when they name none. */
  readonly servedModelNames: readonly string[];
  /** Undefined: the model has none, and chat is a 400. */
  readonly chatTemplate: ChatTemplate | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxBodyBytes: number;
  readonly stallTimeoutMs: number;
  readonly earlyHeadersMs: number;
  /** The longest that an answer may take; undefined: there is no limit. */
  readonly requestTimeoutMs: number | undefined;
  /** Answers are stored, so the next turn of a conversation takes them over token by token. */
  readonly remembersTurns: boolean;
}

const TIMEOUT_HEADER = "x-request-timeout";
/** A day; timers take no more than 24 of them. */
const MAX_TIMEOUT_SECONDS = 86_400;

/** Ids of requests that come from outside end up in logs: no line breaks, no length. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

export interface Identity {
  readonly head: ResponseHead;
  /** Begins with the head's id. Two clients may send the same id; the engine never sees one twice. */
  readonly engineId: string;
}

/** A conversation as the model reads it. */
export interface ChatPrompt {
  readonly text: string;
  readonly tokens: Int32Array;
}

/** What all endpoints share: one model behind some names. */
export class Service {
  readonly options: ServiceOptions;
  readonly engine: Engine;
  #chatFormat: ChatFormat | undefined;
  readonly #turns = new SpokenTurns();

  constructor(options: ServiceOptions) {
    this.options = options;
    this.engine = options.engine;
  }

  /**
   * @returns the name that the answer carries
   * @throws ApiError 404 for a name that is not served
   */
  modelName(requested: string | undefined): string {
    const names = this.options.servedModelNames;
    if (requested === undefined) return names[0]!;
    if (names.includes(requested) || this.module(requested) !== undefined) return requested;
    throw new ApiError(404, `The model \`${requested}\` does not exist.`, {
      param: "model",
      code: "model_not_found",
    });
  }

  /** The LoRA module of this name. */
  module(requested: string | undefined): LoraModule | undefined {
    return this.engine.model.modules?.find(({ name }) => name === requested);
  }

  /** @param prefix "cmpl" or "chatcmpl", as OpenAI's ids begin */
  identify(
    context: Context,
    prefix: string,
    fields: { readonly model?: string | undefined; readonly request_id?: string | undefined },
  ): Identity {
    const sent = fields.request_id ?? context.req.header("x-request-id") ?? "";
    const random = randomUUID().replaceAll("-", "");
    const base = REQUEST_ID.test(sent) ? sent : random;
    context.header("x-request-id", base);
    const id = `${prefix}-${base}`;
    const created = Math.floor(this.options.clock.wallMs() / 1000);
    return {
      head: { id, created, model: this.modelName(fields.model) },
      engineId: base === random ? id : `${id}-${random.slice(0, 8)}`,
    };
  }

  /** @throws ApiError 503 when the engine can answer no longer */
  checkAlive(): void {
    const { failure } = this.engine;
    if (failure === undefined) return;
    throw new ApiError(503, `The model has stopped: ${failure.message}`, {
      type: "server_error",
      code: "engine_dead",
      cause: failure,
    });
  }

  /**
   * How long this answer may take: as the client says in a header, in seconds, but no longer than the
   * server lets any.
   *
   * @throws ApiError for a header that is no such number
   */
  timeoutMs(context: Context): number | undefined {
    const { requestTimeoutMs } = this.options;
    const header = context.req.header(TIMEOUT_HEADER);
    if (header === undefined) return requestTimeoutMs;
    const seconds = Number(header);
    if (!(seconds > 0 && seconds <= MAX_TIMEOUT_SECONDS)) {
      throw new ApiError(
        400,
        `Invalid header '${TIMEOUT_HEADER}': expected seconds up to ${MAX_TIMEOUT_SECONDS}, got ${JSON.stringify(header.slice(0, 40))}`,
        { param: TIMEOUT_HEADER },
      );
    }
    return Math.min(seconds * 1000, requestTimeoutMs ?? Infinity);
  }

  /** What the chat template tells of its model. @throws ApiError when there is no template */
  get chatFormat(): ChatFormat {
    return (this.#chatFormat ??= new ChatFormat(this.#chatTemplate.source));
  }

  /** @throws UsageError when the template refuses the messages or knows no tools */
  async tokenizeChat(
    messages: readonly ChatMessage[],
    options: RenderOptions,
  ): Promise<Int32Array> {
    return (await this.renderChat(messages, options)).tokens;
  }

  /** As tokenizeChat, with the text. */
  async renderChat(messages: readonly ChatMessage[], options: RenderOptions): Promise<ChatPrompt> {
    if (options.tools !== undefined && options.tools.length > 0) this.chatFormat.checkTools();
    if (options.documents !== undefined) this.chatFormat.checkDocuments();
    const text = this.#chatTemplate.render(messages, options);
    return { text, tokens: await this.#tokenizeTurns(text) };
  }

  /** What a model has answered to a prompt. A no-op unless answers are stored. */
  rememberTurn(prompt: ChatPrompt, answerText: string, answerTokens: readonly number[]): void {
    if (!this.options.remembersTurns) return;
    // The last token may be the end of the turn, which has no text; and a stop string has text that was cut off.
    const spoken = [answerTokens.slice(0, -1), answerTokens].find(
      (tokens) => this.engine.detokenize(Int32Array.from(tokens)) === answerText,
    );
    if (spoken === undefined) return;
    this.#turns.remember(prompt.text + answerText, Int32Array.from([...prompt.tokens, ...spoken]));
  }

  async #tokenizeTurns(text: string): Promise<Int32Array> {
    const { eosText } = this.engine.model;
    const turn = eosText === "" ? undefined : this.#turns.find(text, eosText);
    if (turn === undefined) {
      return this.engine.tokenize(text, { addSpecial: true, parseSpecial: true });
    }
    const rest = await this.engine.tokenize(text.slice(turn.numCharacters), {
      addSpecial: false,
      parseSpecial: true,
    });
    return Int32Array.from([...turn.tokens, ...rest]);
  }

  get #chatTemplate(): ChatTemplate {
    const { chatTemplate } = this.options;
    if (chatTemplate !== undefined) return chatTemplate;
    throw new ApiError(
      400,
      "The model has no chat template: start the server with --chat-template, or send a prompt to /v1/completions",
      { param: "messages" },
    );
  }
}
