/** Takes neighbouring seeds apart before they are used. */
const NUM_DISCARDED_WORDS = 16;

/**
 * The sfc32 generator: 32-bit integer arithmetic only, so every machine makes the same words.
 * Streams of one seed are independent of each other.
 */
export class RandomWords {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, stream: string) {
    this.#a = seed | 0;
    this.#b = hashOf(stream, 0x811c9dc5);
    this.#c = hashOf(stream, 0x9e3779b9);
    this.fill(new Uint32Array(NUM_DISCARDED_WORDS));
  }

  fill(words: Uint32Array): void {
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let counter = this.#counter;
    for (let i = 0; i < words.length; i++) {
      const word = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11) | 0) + word) | 0;
      words[i] = word;
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
  }
}

/** FNV-1a over the UTF-16 units. */
function hashOf(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}
