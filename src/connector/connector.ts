import type { HalfRows } from "../core/index.ts";

/**
 * What the inference engine knows of the cache. The engine asks three things of it: what is stored of
 * this prompt, bring it in, take this out. It never rejects because a cache failed: a broken cache
 * is one that matches, loads and saves nothing.
 */
export interface KvConnector {
  /**
   * How many leading tokens of the request are stored. Holds what it counted until the match is
   * disposed. The rule "the last prompt token is always computed" lives here: the answer is at most
   * `tokens.length - 1`.
   *
   * @param numHeld leading tokens that the engine has itself, for what is logged
   * @param signal nobody waits for the answer any more; it may then say less than is stored
   */
  lookup(request: KvRequest, numHeld: number, signal?: AbortSignal): Promise<KvMatch>;

  /**
   * Brings the tokens [from, match.numTokens) into the engine's memory.
   *
   * @returns the end of the prefix that is now valid: `from` if nothing came, `match.numTokens` if all did
   */
  load(match: KvMatch, from: number, engine: EngineKv, signal: AbortSignal): Promise<number>;

  /**
   * Copies what is new and whole of the tokens [0, to) out of the engine. Resolves as soon as the
   * engine's memory is no longer needed; tiers are written behind it. To be called at the end of each step, before
   * the next one: what the engine's memory holds at `to` and nowhere else is asked for during the call itself.
   *
   * @param isFinal no token will follow in this request: the last partial chunk is worth keeping
   * @returns the number of tokens newly saved
   */
  save(request: KvRequest, to: number, isFinal: boolean, engine: EngineKv): Promise<number>;

  /** Forgets a finished or aborted request. */
  finish(request: KvRequest): void;

  /** Resolves when everything saved so far has reached its tiers or was dropped. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** One request as the cache sees it. The same object from lookup to finish. */
export interface KvRequest {
  readonly id: string;
  /** Prompt and generated tokens; grows while the request runs. */
  readonly tokens: Int32Array;
  /** Tokens of the prompt; those after it were generated. */
  readonly numPromptTokens: number;
  /** Lower is more urgent. */
  readonly priority: number;
  /**
   * Whether the engine could go on computing at a position below `tokens.length`. Asked for models with state parts,
   * which cannot be cut after they were loaded. Default: anywhere.
   */
  readonly canResumeAt?: ((position: number) => boolean) | undefined;
  /** Keeps tenants apart. */
  readonly cacheSalt?: string | undefined;
  /** Per-request settings (`kv_transfer_params`), keys as LMCache writes them: "lmcache.skip_save". */
  readonly kvTransferParams?: Readonly<Record<string, unknown>> | undefined;
}

export interface KvMatch extends Disposable {
  /** Leading tokens of the request that are stored and held. */
  readonly numTokens: number;
  /**
   * Positions, ascending, at which a state part is worth taking: that can be done only while the sequence ends
   * there. An engine that cannot end a step at one of them goes past it. To be read when the load is over.
   */
  readonly stops?: readonly number[] | undefined;
}

/**
 * One sequence in the engine's memory, as the connector may touch it. Calls are carried out in the
 * order they are made, between two steps of the engine; none waits for a step to come.
 */
export interface EngineKv {
  /** Copies each part out of the engine. Resolves to the parts' lengths in bytes; 0 for one that failed. */
  extract(parts: readonly EngineKvPart[]): Promise<number[]>;
  /**
   * Puts parts into the engine, in order, each where the one before it ended; a state part comes last.
   *
   * @returns how many of them are in; on a failure the engine has removed what it could not trust
   */
  restore(parts: readonly EngineKvPart[]): Promise<number>;
}

/** The KV of the tokens [start, end), or, for a state part, what the layers know at `end`. */
export interface EngineKvPart {
  readonly kind: "tokens" | "state";
  readonly start: number;
  readonly end: number;
  /** Memory of the caller, which stays valid and untouched until the call resolves. */
  readonly address: bigint;
  /** Capacity for extract, exact length for restore. */
  readonly byteLength: number;
  /** For restore, CRC-32 that the bytes must have: the engine compares before they go in. Undefined: somebody has. */
  readonly crc32?: number | undefined;
}

/** What a connector must know of the model that is being served. Made by the engine once it is loaded. */
export interface EngineKvLayout {
  /** 32 hex digits over weights, KV type, rope settings and blob layout: KV is only shared between equals. */
  readonly fingerprint: string;
  /** As users named it; for file names and logs. */
  readonly modelName: string;
  /** KV element type, for file names: "half", "q8_0", ... */
  readonly kvDtype: string;
  /** Bytes of a token part of `numTokens` tokens; 0 for models that have a state and nothing else. */
  tokenPartBytes(numTokens: number): number;
  /**
   * The most bytes of the state part at a position, and at any position for Infinity; 0 for models that need none:
   * every prefix will do.
   */
  statePartBytes(position: number): number;
  /**
   * Where a token part holds half-precision numbers, in ascending order, for who wants them shorter; undefined for a
   * part that is made otherwise. Missing: no part of this model is known to hold any.
   */
  readonly findHalfRows?: ((part: Uint8Array) => readonly HalfRows[] | undefined) | undefined;
}
