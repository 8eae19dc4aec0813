import { STATE_PARTIAL_ONLY } from "./bindings.ts";
import type { LlamaContext } from "./context.ts";
import type { LlamaModel } from "./model.ts";

/** What a model's memory is made of, as far as moving KV in and out is concerned. */
export type MemoryKind =
  /** Attention over all positions: chunks of tokens are all there is (also MLA, M-RoPE, and with an indexer). */
  | "dense"
  /** Some layers see a sliding window only: chunks, and the window at a boundary. */
  | "window"
  /** Some layers are recurrent: chunks, and their state at a boundary. */
  | "hybrid"
  /** All layers are recurrent: their state at a boundary, and nothing else. */
  | "recurrent"
  /** Cannot be cut: all of a sequence at a boundary, and nothing else. */
  | "blob"
  /** Anything else: nothing is stored. */
  | "unsupported";

/** Bytes of a part: `baseBytes`, and `tokenBytes` for each of its tokens, of which `maxTokens` at most count. */
export interface PartSize {
  readonly baseBytes: number;
  readonly tokenBytes: number;
  readonly maxTokens: number;
}

export interface MemoryLayout {
  readonly kind: MemoryKind;
  /** Why KV cannot be moved, in a few words; undefined when it can. */
  readonly unsupportedReason: string | undefined;
  /** Length of the sliding window in tokens, 0 without. */
  readonly windowTokens: number;
  /** Of a chunk of so many tokens, exactly. */
  readonly tokenPart: PartSize;
  /** Of a state part at a boundary, at most. */
  readonly statePart: PartSize;
}

export function partBytes(size: PartSize, numTokens: number): number {
  return size.baseBytes + size.tokenBytes * Math.min(numTokens, size.maxTokens);
}

const NO_PART: PartSize = { baseBytes: 0, tokenBytes: 0, maxTokens: 0 };

/** Bytes of the state of an empty sequence, whole and PARTIAL_ONLY: one number and a header for each cache. */
const DENSE_BYTES = 16;
const TWO_CACHES_BYTES = 24;
/** What stands for an empty cache of keys and values beside another part. */
const EMPTY_CACHE_BYTES = 8;
/** An empty recurrent state says how many layers it is of, and no more. */
const MAX_EMPTY_STATE_BYTES = 4096;

/** Its sequences cannot be cut: copying a range of one ends the process. Its metadata does not tell. */
const UNCUTTABLE_ARCHITECTURE = "deepseek4";
/** Prompt from whose end on such a sequence grows by the same bytes for each token. */
const STEADY_TOKENS = 256;
/** Blocks of tokens are compressed together, so growth is by steps. */
const GROWTH_MARGIN = 1.1;

/**
 * Finds out by asking the memory that was really built, and what the model says of itself must agree. Decodes
 * a few tokens in the scratch sequence, which also warms the model up.
 */
export function detectMemoryLayout(model: LlamaModel, context: LlamaContext): MemoryLayout {
  const windowTokens = model.functions.llama_model_n_swa(model.native) as number;
  const kind = kindOf(model, context, windowTokens);
  if (typeof kind !== "string") {
    const { reason } = kind;
    const parts = { tokenPart: NO_PART, statePart: NO_PART };
    return { kind: "unsupported", unsupportedReason: reason, windowTokens, ...parts };
  }
  return {
    kind,
    unsupportedReason: undefined,
    windowTokens,
    ...(kind === "blob" ? measureBlob(context) : measureParts(context, kind, windowTokens)),
  };
}

function kindOf(
  model: LlamaModel,
  context: LlamaContext,
  windowTokens: number,
): MemoryKind | { readonly reason: string } {
  const { functions, native } = model;
  if (functions.llama_model_has_encoder(native)) return { reason: "it has an encoder" };
  if (functions.llama_model_is_diffusion(native)) return { reason: "it is a diffusion model" };
  if (context.memory === null) return { reason: "it is an encoder" };
  const isRecurrent = functions.llama_model_is_recurrent(native) as boolean;
  const isHybrid = functions.llama_model_is_hybrid(native) as boolean;
  if (model.metadata("general.architecture") === UNCUTTABLE_ARCHITECTURE) return "blob";

  const full = context.stateBytes(context.scratchSequence, 0);
  const partial = context.stateBytes(context.scratchSequence, STATE_PARTIAL_ONLY);
  const hasWindow = windowTokens > 0;
  const numAttentionBytes = full - partial;
  const isState = partial > DENSE_BYTES && partial < MAX_EMPTY_STATE_BYTES;
  if (!isRecurrent && !isHybrid) {
    const isDense = full === partial && (full === DENSE_BYTES || full === TWO_CACHES_BYTES);
    if (!hasWindow && isDense) return "dense";
    if (hasWindow && full === TWO_CACHES_BYTES && partial === DENSE_BYTES) return "window";
  } else if (!hasWindow && isState) {
    if (isRecurrent && !isHybrid && numAttentionBytes === 0) return "recurrent";
    const isOneOrTwoCaches =
      numAttentionBytes === EMPTY_CACHE_BYTES || numAttentionBytes === 2 * EMPTY_CACHE_BYTES;
    if (isHybrid && !isRecurrent && isOneOrTwoCaches) return "hybrid";
  }
  return { reason: `the layout of its memory is not known (${full}/${partial})` };
}

function measureParts(
  context: LlamaContext,
  kind: MemoryKind,
  windowTokens: number,
): Pick<MemoryLayout, "tokenPart" | "statePart"> {
  const empty = sizesOf(context);
  const [one, two] = sizesAt(context, [1, 2]) as [Sizes, Sizes];
  const stateGrowth = two.partial - one.partial;
  const state = { baseBytes: one.partial - stateGrowth, tokenBytes: stateGrowth };
  if (kind === "recurrent") return { tokenPart: NO_PART, statePart: { ...state, maxTokens: 0 } };
  if (kind === "dense") return { tokenPart: linear(one.full, two.full), statePart: NO_PART };
  // A chunk of the other kinds has an empty state in it.
  const chunkBytes = (sizes: Sizes): number => sizes.full - sizes.partial + empty.partial;
  return {
    tokenPart: linear(chunkBytes(one), chunkBytes(two)),
    statePart: { ...state, maxTokens: windowTokens },
  };
}

function linear(one: number, two: number): PartSize {
  return { baseBytes: one - (two - one), tokenBytes: two - one, maxTokens: Infinity };
}

function measureBlob(context: LlamaContext): Pick<MemoryLayout, "tokenPart" | "statePart"> {
  const numSteady = Math.min(STEADY_TOKENS, Math.floor(context.numCells / 2));
  const [steady, grown] = sizesAt(context, [numSteady, 2 * numSteady]) as [Sizes, Sizes];
  const tokenBytes = Math.ceil(((grown.full - steady.full) / numSteady) * GROWTH_MARGIN);
  return {
    tokenPart: NO_PART,
    statePart: { baseBytes: steady.full, tokenBytes, maxTokens: Infinity },
  };
}

interface Sizes {
  readonly full: number;
  readonly partial: number;
}

function sizesOf(context: LlamaContext): Sizes {
  return {
    full: context.stateBytes(context.scratchSequence, 0),
    partial: context.stateBytes(context.scratchSequence, STATE_PARTIAL_ONLY),
  };
}

/** @param lengths ascending numbers of tokens */
function sizesAt(context: LlamaContext, lengths: readonly number[]): Sizes[] {
  const { batch, scratchSequence } = context;
  let position = 0;
  const sizes = lengths.map((length) => {
    while (position < length) {
      batch.clear();
      const end = Math.min(position + batch.capacity, length);
      for (; position < end; position++) {
        batch.add(0, position, scratchSequence, position === length - 1);
      }
      const status = context.decode();
      if (status !== 0) throw new Error(`The first forward pass failed with ${status}`);
    }
    return sizesOf(context);
  });
  context.removeRange(scratchSequence, -1, -1);
  return sizes;
}
