/**
 * Between state parts of a long prompt, in tokens: beyond the ends and the branches of prompts they bring few hits
 * more, but for those who share the first half of a document it is the difference.
 */
const SPACING_TOKENS = 8192;
/** Where a state is next to nothing beside its chunk it is taken as often as the engine makes steps. */
const SMALL_STATE_SHARE = 0.05;
const SMALL_STATE_SPACING_TOKENS = 512;

export interface StatePositionsOptions {
  readonly numTokens: number;
  /** Where the engine will begin. */
  readonly from: number;
  /** How far the prompt's chunks are stored, or have been seen: where it branched off from others. */
  readonly numKnownTokens: number;
  readonly chunkTokens: number;
  /** Bytes of a state part for each byte of the tokens of a chunk. */
  readonly stateShare: number;
  /** Prompts are stored to their last token but one. */
  readonly savesTail: boolean;
  readonly canResumeAt: (position: number) => boolean;
}

/**
 * Where a prompt that is being computed should leave a state part behind, ascending: at its last whole chunk, for the
 * next turn of the conversation; where its tail ends, for the same prompt again; at the place where it branched off
 * from others, for the next one that does; and on the way of a long one. Each costs as much as thousands of
 * tokens, so not at every chunk.
 */
export function statePositions(options: StatePositionsOptions): number[] {
  const { from, chunkTokens, canResumeAt } = options;
  const last = options.numTokens - 1;
  const positions = new Set<number>();
  const add = (position: number): void => {
    if (position > from && position <= last && canResumeAt(position)) positions.add(position);
  };
  let lastWhole = last - (last % chunkTokens);
  while (lastWhole > from && !canResumeAt(lastWhole)) lastWhole -= chunkTokens;
  add(lastWhole);
  add(options.numKnownTokens);
  if (options.savesTail) add(last);
  const isSmall = options.stateShare < SMALL_STATE_SHARE;
  const spacing = isSmall ? SMALL_STATE_SPACING_TOKENS : SPACING_TOKENS;
  const stride = Math.ceil(spacing / chunkTokens) * chunkTokens;
  for (let position = stride; position < last; position += stride) add(position);
  return [...positions].sort((a, b) => a - b);
}
