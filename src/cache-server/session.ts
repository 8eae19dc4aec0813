import { randomBytes } from "node:crypto";
import { type Logger, messageOf } from "../core/index.ts";
import {
  type Connection,
  ConnectionError,
  LM_CODES,
  LM_COMMANDS,
  LM_EXTENSIONS,
  LM_EXTENSION_VERSION,
  type LmForm,
  type LmRequest,
  isLmProof,
  lmHelloReply,
  lmReplyWithout,
} from "../protocol/index.ts";
import type { Frames } from "./frames.ts";
import type { Requests } from "./requests.ts";
import type { CutReason, Traffic } from "./traffic.ts";

export interface SessionOptions {
  readonly connection: Connection;
  readonly frames: Frames;
  readonly requests: Requests;
  readonly traffic: Traffic;
  readonly logger: Logger;
  /** What the client must prove to know before anything else. */
  readonly token: string | undefined;
  readonly startedMs: number;
}

const NONCE_BYTES = 16;

/** One client, from its first byte to its last: its requests one by one, in the order they come. */
export class Session {
  /** Resolves when the client is gone and nothing of it is left. */
  readonly ended: Promise<void>;
  readonly #options: SessionOptions;
  /** Of the last hello; each is good for one proof. */
  #nonce: Buffer | undefined;
  #isTrusted: boolean;
  #isEnding = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#isTrusted = options.token === undefined;
    this.ended = this.#run();
  }

  get startedMs(): number {
    return this.#options.startedMs;
  }
  /** Whether the client has shown that it knows the token, if there is one. */
  get isTrusted(): boolean {
    return this.#isTrusted;
  }
  /** Whether the client has stopped in the middle of a frame. */
  get isStalled(): boolean {
    return this.#options.frames.isStalled();
  }

  /** See Frames. */
  postpone(ms: number): void {
    this.#options.frames.postpone(ms);
  }

  /** Ends the session behind the request under way. */
  end(): void {
    this.#isEnding = true;
    if (this.#options.frames.isIdle) this.#options.connection[Symbol.dispose]();
  }

  /** Ends it at once. */
  cut(reason?: CutReason): void {
    if (reason !== undefined) this.#count(reason);
    this.#options.connection[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    const { connection, frames, logger } = this.#options;
    const name = `${connection.remoteAddress}`;
    logger.debug(`Connected by ${name}`);
    try {
      while (!this.#isEnding) {
        const { request, form } = await frames.nextRequest();
        if (!(await this.#answer(request, form))) return;
      }
    } catch (error) {
      if (!(error instanceof ConnectionError)) {
        // Like a request that fails over HTTP: it takes this client along, and nobody else.
        const detail = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
        logger.error(`A request of ${name} failed: ${detail}`);
      } else if (error.code === "protocol") {
        this.#count("protocol");
        logger.debug(`${name}: ${error.message}`);
      }
    } finally {
      connection[Symbol.dispose]();
      logger.debug("Client disconnected");
    }
  }

  /** @returns whether there may be a next request */
  async #answer(request: LmRequest, form: LmForm): Promise<boolean> {
    const { requests, frames, traffic } = this.#options;
    switch (request.command) {
      case LM_EXTENSIONS.hello:
        traffic.numRequests.hello++;
        await this.#greet(form);
        return true;
      case LM_EXTENSIONS.prove:
        return this.#prove(request, form);
      default:
        // A probe has no token, and learns nothing.
        if (this.#isTrusted || request.command === LM_COMMANDS.health)
          return requests.answer(request, form, frames);
        return this.#refuse(form);
    }
  }

  async #greet(form: LmForm): Promise<void> {
    this.#nonce = this.#isTrusted ? undefined : randomBytes(NONCE_BYTES);
    const reply = lmHelloReply({ version: LM_EXTENSION_VERSION, nonce: this.#nonce });
    await this.#options.frames.send(reply, form);
  }

  async #prove(request: LmRequest, form: LmForm): Promise<boolean> {
    const { token, frames } = this.#options;
    const nonce = this.#nonce;
    this.#nonce = undefined;
    if (token !== undefined) {
      if (nonce === undefined || !isLmProof(request.key, token, nonce)) return this.#refuse(form);
      this.#isTrusted = true;
    }
    await frames.send(lmReplyWithout(LM_CODES.success), form);
    return true;
  }

  async #refuse(form: LmForm): Promise<false> {
    this.#count("unauthorized");
    await this.#options.frames.send(lmReplyWithout(LM_CODES.unauthorized), form);
    return false;
  }

  #count(reason: CutReason): void {
    this.#options.traffic.numCut[reason]++;
  }
}
