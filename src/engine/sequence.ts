import type { KvRequest } from "../connector/connector.ts";
import type { GenerateRequest } from "./engine.ts";
import type { SamplingParams } from "./sampling-params.ts";
import { resumeAt } from "./scheduler.ts";

export type SequenceState =
  /** In the queue; owns nothing. */
  | "waiting"
  /** Has a slot; what is stored of its prompt is on its way in. */
  | "loading"
  /** Has a slot and takes part in steps. */
  | "running"
  /** Over, for whatever reason. */
  | "finished";

/**
 * One request on its way through the engine.
 *
 *     tokens   [ prompt ................ | generated ... ]
 *              [ computed: KV in the engine | to compute ]
 */
export class Sequence implements KvRequest {
  readonly id: string;
  readonly numPromptTokens: number;
  readonly sampling: SamplingParams;
  readonly cacheSalt: string | undefined;
  readonly kvTransferParams: Readonly<Record<string, unknown>> | undefined;
  readonly priority: number;
  readonly arrivalMs: number;

  state: SequenceState = "waiting";
  /** The engine's sequence number while it has one. */
  slot: number | undefined;
  /** The adapter it is computed with, by its place among the model's. */
  module: number | undefined;
  /** Positions, ascending, at which a step should end: see KvMatch. */
  stops: readonly number[] = [];
  /** Leading tokens whose KV is in the engine. */
  numComputed = 0;
  /** Leading tokens whose KV was loaded and not computed, at the first admission. */
  numCached = 0;
  firstScheduledMs: number | undefined;
  firstTokenMs: number | undefined;
  hasSampler = false;

  #tokens: Int32Array;
  #numTokens: number;
  readonly #maxTokens: number;

  /** @param maxTokens of prompt and answer */
  constructor(request: GenerateRequest, arrivalMs: number, maxTokens: number) {
    this.id = request.id;
    this.numPromptTokens = request.promptTokens.length;
    this.sampling = request.sampling;
    this.cacheSalt = request.cacheSalt;
    this.kvTransferParams = request.kvTransferParams;
    this.priority = request.priority ?? 0;
    this.arrivalMs = arrivalMs;
    this.#tokens = new Int32Array(
      this.numPromptTokens + Math.min(request.sampling.maxTokens, 1024),
    );
    this.#tokens.set(request.promptTokens);
    this.#numTokens = this.numPromptTokens;
    this.#maxTokens = Math.min(maxTokens, this.numPromptTokens + request.sampling.maxTokens);
  }

  /** Prompt and answer so far. A view: valid until the next append. */
  get tokens(): Int32Array {
    return this.#tokens.subarray(0, this.#numTokens);
  }
  get numTokens(): number {
    return this.#numTokens;
  }
  get numGenerated(): number {
    return this.#numTokens - this.numPromptTokens;
  }
  get numToCompute(): number {
    return this.#numTokens - this.numComputed;
  }
  /** Tokens that may still be generated. */
  get numLeft(): number {
    return this.#maxTokens - this.#numTokens;
  }
  /** Computing may go on where a wide rest is left, or nothing but the last token. */
  readonly canResumeAt = (position: number): boolean => resumeAt(this, position) === position;

  append(token: number): void {
    if (this.#numTokens === this.#tokens.length) {
      const grown = new Int32Array(this.#tokens.length * 2);
      grown.set(this.#tokens);
      this.#tokens = grown;
    }
    this.#tokens[this.#numTokens++] = token;
  }
}
