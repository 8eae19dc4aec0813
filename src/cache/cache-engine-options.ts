import type { Clock, Logger } from "../core/index.ts";
import type { MemoryPool } from "../memory/index.ts";
import type { PartLayout, PromptScope } from "./prompt-chunker.ts";
import type { TierStatus } from "./tier-guard.ts";
import type { TierStack } from "./tier-stack.ts";

export interface CacheEngineOptions {
  /** In log lines and metrics. */
  readonly instanceId: string;
  /** What decides whether KV may be shared, and how much room it takes. */
  readonly layout: PartLayout;
  readonly chunkTokens: number;
  /** Owned. */
  readonly tiers: TierStack;
  /** Owned. */
  readonly pool: MemoryPool;
  /** How long `pin` holds if it is not told. */
  readonly pinTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ClearOptions extends PromptScope {
  /** Only the chunks of this prompt; other prompts lose what they share with it. */
  readonly tokens?: Int32Array | undefined;
  /** Only this tier. */
  readonly location?: string | undefined;
}

export interface RetrieveOptions {
  /** The engine has the tokens [0, from) already. */
  readonly from: number;
  /** Tokens that are of use, for the count that is logged; at most those of the match. */
  readonly to: number;
  /** The longest wait for the tiers, all together. What came in time is kept. Default: no bound. */
  readonly budgetMs?: number | undefined;
  readonly signal: AbortSignal;
  readonly requestId: string;
}

export interface LookupOptions extends PromptScope {
  /** Whether a boundary is of use, for models with state parts. Default: each is. */
  readonly accepts?: ((position: number) => boolean) | undefined;
}

export interface ReserveOptions extends PromptScope {
  /** What lies before it is stored already: a chunk boundary, for models that have chunks. */
  readonly from: number;
  /** Take room for the state part of the end, too. */
  readonly withState?: boolean | undefined;
}

export interface CacheStats {
  readonly tiers: Readonly<Record<string, TierStatus>>;
  readonly poolUsedBytes: number;
  readonly poolCapacityBytes: number;
  readonly numPinnedChunks: number;
}
