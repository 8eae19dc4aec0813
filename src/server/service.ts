import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import type { Clock, Logger } from "../core/index.ts";
import type { ChatMessage, ChatTemplate, Engine } from "../engine/index.ts";
import { ApiError } from "../openai/index.ts";
import type { ResponseHead } from "../openai/index.ts";

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
}

/** Ids of requests that come from outside end up in logs: no line breaks, no length. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

export interface Identity {
  readonly head: ResponseHead;
  /** Begins with the head's id. Two clients may send the same id; the engine never sees one twice. */
  readonly engineId: string;
}

/** What all endpoints share: one model behind some names. */
export class Service {
  readonly options: ServiceOptions;
  readonly engine: Engine;

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
    if (names.includes(requested)) return requested;
    throw new ApiError(404, `The model \`${requested}\` does not exist.`, {
      param: "model",
      code: "model_not_found",
    });
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

  /** @throws UsageError when the template refuses the messages */
  async tokenizeChat(
    messages: readonly ChatMessage[],
    options: Parameters<ChatTemplate["render"]>[1],
  ): Promise<Int32Array> {
    const { chatTemplate } = this.options;
    if (chatTemplate === undefined) {
      throw new ApiError(
        400,
        "The model has no chat template: start the server with --chat-template, or send a prompt to /v1/completions",
        { param: "messages" },
      );
    }
    const text = chatTemplate.render(messages, options);
    return this.engine.tokenize(text, { addSpecial: true, parseSpecial: true });
  }
}
