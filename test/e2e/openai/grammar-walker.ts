import { defaultSamplingParams } from "../../../src/engine/index.ts";
import { loadLlamaLibrary } from "../../../src/engine/llama/library.ts";
import { LlamaModel } from "../../../src/engine/llama/model.ts";
import { LlamaSampler } from "../../../src/engine/llama/sampler.ts";
import { LlamaVocab } from "../../../src/engine/llama/vocab.ts";
import { resolveModel } from "../../../src/models/index.ts";

/** A model of no skill at all: every token is as likely as the next. What it writes shows what a grammar allows. */
export class GrammarWalker implements Disposable {
  readonly #model: LlamaModel;
  readonly #vocab: LlamaVocab;
  readonly #functions: ReturnType<typeof loadLlamaLibrary>["functions"];

  static async open(): Promise<GrammarWalker> {
    const { path } = await resolveModel("synth:1m");
    return new GrammarWalker(path);
  }

  private constructor(path: string) {
    const library = loadLlamaLibrary();
    this.#functions = library.functions;
    this.#model = new LlamaModel(library, { path, numGpuLayers: 0 });
    this.#vocab = new LlamaVocab(library.functions, this.#model.native);
  }

  /** @returns undefined when the text had no end within `maxTokens` */
  write(grammar: string, seed: number, maxTokens = 4000): string | undefined {
    const random = mulberry32(seed);
    const sampling = { ...defaultSamplingParams, grammar, seed };
    using sampler = new LlamaSampler(this.#functions, this.#vocab, sampling, new Int32Array());
    const pieces: Uint8Array[] = [];
    const logits = new Float32Array(this.#vocab.size);
    for (let i = 0; i < maxTokens; i++) {
      for (let token = 0; token < logits.length; token++) logits[token] = random();
      // What ends something is dear to it, so that answers end.
      for (const end of '"]}') logits[end.charCodeAt(0)]! += 4;
      // zod counts UTF-16 units, JSON Schema characters: write none for which that is not the same.
      logits.fill(-Infinity, 0xf0, 0x100);
      const token = sampler.sampleFrom(logits);
      if (this.#vocab.isEndOfGeneration(token)) return Buffer.concat(pieces).toString("utf8");
      pieces.push(this.#vocab.pieceOf(token));
    }
    return undefined;
  }

  /** Whether an answer may be this text. */
  accepts(grammar: string, text: string): boolean {
    const sampling = { ...defaultSamplingParams, grammar, temperature: 0 };
    using sampler = new LlamaSampler(this.#functions, this.#vocab, sampling, new Int32Array());
    const logits = new Float32Array(this.#vocab.size);
    const wanted = [...Buffer.from(text, "utf8"), this.#vocab.endToken];
    return wanted.every((token) => {
      logits.fill(0);
      logits[token] = 1;
      return sampler.sampleFrom(logits) === token;
    });
  }

  [Symbol.dispose](): void {
    this.#model[Symbol.dispose]();
  }
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
