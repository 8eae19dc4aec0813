import type { Engine } from "../engine/index.ts";

/**
 * The tokens of each word, as it stands at the beginning of a text and behind a space: tokenizers write these
 * differently.
 */
export async function tokenizeBadWords(
  engine: Engine,
  words: readonly string[] = [],
): Promise<Int32Array[]> {
  const spellings = new Set(words.flatMap((word) => [word, ` ${word.trimStart()}`]));
  const options = { addSpecial: false, parseSpecial: false };
  return Promise.all(Array.from(spellings, (text) => engine.tokenize(text, options)));
}
