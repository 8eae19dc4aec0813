import { STATE_PARTIAL_ONLY } from "./bindings.ts";
import type { LlamaContext } from "./context.ts";
import type { LlamaModel } from "./model.ts";

/** What a model's memory is made of, as far as moving KV in and out is concerned. */
export type MemoryKind =
  /** Attention over all positions: chunks of tokens are all there is (also MLA and M-RoPE). */
  | "dense"
  /** Anything else: a sliding window, recurrent layers, a layout not known to us. */
  | "unsupported";

export interface MemoryLayout {
  readonly kind: MemoryKind;
  /** Why KV cannot be moved, in one sentence; undefined when it can. */
  readonly unsupportedReason: string | undefined;
  /** A part of n tokens takes baseBytes + n * tokenBytes. */
  readonly baseBytes: number;
  readonly tokenBytes: number;
}

/** Bytes that the state of an empty sequence takes in a model with one plain attention cache. */
const EMPTY_DENSE_BYTES = 16;

/**
 * Finds out by asking the memory that was really built. Decodes two tokens in the scratch sequence, which
 * also warms the model up.
 */
export function detectMemoryLayout(model: LlamaModel, context: LlamaContext): MemoryLayout {
  const unsupportedReason = whyUnsupported(model, context);
  if (unsupportedReason !== undefined) {
    return { kind: "unsupported", unsupportedReason, baseBytes: 0, tokenBytes: 0 };
  }
  const one = bytesAfter(context, 1);
  const two = bytesAfter(context, 2);
  return {
    kind: "dense",
    unsupportedReason: undefined,
    baseBytes: one - (two - one),
    tokenBytes: two - one,
  };
}

function whyUnsupported(model: LlamaModel, context: LlamaContext): string | undefined {
  const { functions, native } = model;
  if (functions.llama_model_has_encoder(native)) return "it has an encoder";
  if (functions.llama_model_is_diffusion(native)) return "it is a diffusion model";
  if (functions.llama_model_is_recurrent(native)) return "its layers are recurrent";
  if (functions.llama_model_is_hybrid(native)) return "some of its layers are recurrent";
  if ((functions.llama_model_n_swa(native) as number) > 0) return "it has sliding-window attention";
  const full = context.stateBytes(context.scratchSequence, 0);
  const partial = context.stateBytes(context.scratchSequence, STATE_PARTIAL_ONLY);
  if (full !== EMPTY_DENSE_BYTES || partial !== EMPTY_DENSE_BYTES) {
    return `the layout of its memory is not known (${full}/${partial})`;
  }
  return undefined;
}

function bytesAfter(context: LlamaContext, numTokens: number): number {
  const sequence = context.scratchSequence;
  context.batch.clear();
  for (let position = 0; position < numTokens; position++) {
    context.batch.add(0, position, sequence, position === numTokens - 1);
  }
  const status = context.decode();
  if (status !== 0) throw new Error(`The first forward pass failed with ${status}`);
  const numBytes = context.stateBytes(sequence, 0);
  context.removeRange(sequence, -1, -1);
  return numBytes;
}
