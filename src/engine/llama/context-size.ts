import { totalmem } from "node:os";
import { UsageError } from "../../core/index.ts";
import type { LlamaModel } from "./model.ts";

export interface ContextSizeRequest {
  /** Longest prompt plus answer; undefined: as below. */
  readonly maxModelLen: number | undefined;
  /** KV cells for all sequences together; undefined: as below. */
  readonly numCells: number | undefined;
  readonly numSequences: number;
}

export interface ContextSize {
  readonly maxModelLen: number;
  readonly numCells: number;
}

/** Without --max-model-len: what the model was trained for, but no more than this. Longer contexts cost memory from the start. */
const DEFAULT_MAX_MODEL_LEN = 32_768;
/** Cells beyond one full sequence: llama.cpp walks through all of them for each range operation. */
const DEFAULT_MAX_CELLS = 65_536;
/** Part of the machine's memory that KV cells may take unasked. */
const MEMORY_SHARE = 0.25;
/** llama.cpp rounds contexts up to this. */
const CELL_STEP = 256;

/** @throws UsageError for a length that the model cannot have */
export function chooseContextSize(model: LlamaModel, request: ContextSizeRequest): ContextSize {
  const trainedTokens = model.functions.llama_model_n_ctx_train(model.native) as number;
  if (request.maxModelLen !== undefined && request.maxModelLen > trainedTokens) {
    throw new UsageError(
      `Cannot serve --max-model-len ${request.maxModelLen}: the model was trained for ${trainedTokens} tokens`,
      { param: "max-model-len" },
    );
  }
  const affordableCells = Math.floor((totalmem() * MEMORY_SHARE) / kvBytesPerToken(model));
  const maxModelLen =
    request.maxModelLen ??
    Math.max(
      CELL_STEP,
      Math.min(trainedTokens, DEFAULT_MAX_MODEL_LEN, affordableCells, request.numCells ?? Infinity),
    );
  const numCells =
    request.numCells ??
    Math.max(
      maxModelLen,
      Math.min(maxModelLen * request.numSequences, DEFAULT_MAX_CELLS, affordableCells),
    );
  if (numCells < maxModelLen) {
    throw new UsageError(
      `Cannot serve --max-model-len ${maxModelLen} with --ctx-size ${numCells}: one full request must fit`,
      { param: "ctx-size" },
    );
  }
  return { maxModelLen, numCells: Math.ceil(numCells / CELL_STEP) * CELL_STEP };
}

/** f16 bytes of one token's KV as the metadata tells; an upper bound where layers differ. */
function kvBytesPerToken(model: LlamaModel): number {
  const architecture = model.metadata("general.architecture") ?? "";
  const number = (key: string): number | undefined => {
    const value = Number(model.metadata(`${architecture}.${key}`));
    return Number.isFinite(value) && value > 0 ? value : undefined;
  };
  const numHeads = number("attention.head_count") ?? 32;
  const headLength = (number("embedding_length") ?? 4096) / numHeads;
  const rowLength =
    (number("attention.key_length") ?? headLength) +
    (number("attention.value_length") ?? headLength);
  const numLayers = model.functions.llama_model_n_layer(model.native) as number;
  return numLayers * (number("attention.head_count_kv") ?? numHeads) * rowLength * 2;
}
