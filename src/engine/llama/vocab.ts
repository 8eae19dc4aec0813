import { koffi } from "../../native/index.ts";
import type { LlamaFunctions, Pointer } from "./bindings.ts";
import { TokenizedTexts } from "./tokenized-texts.ts";

/** Below this many characters a call costs less than a trip to another thread. */
const SYNC_TEXT_LENGTH = 1024;

/** Text to token ids and back. Reads the model's vocabulary only, so it may run beside the model's thread. */
export class LlamaVocab {
  readonly size: number;
  readonly bosToken: number;
  readonly eosToken: number;
  readonly addsBos: boolean;
  readonly #functions: LlamaFunctions;
  readonly #vocab: Pointer;
  readonly #pieces: (Uint8Array | undefined)[] = [];
  readonly #specialPieces: (Uint8Array | undefined)[] = [];
  /** By the two settings of tokenize. */
  readonly #recent: Record<string, TokenizedTexts> = {};

  constructor(functions: LlamaFunctions, model: Pointer) {
    this.#functions = functions;
    this.#vocab = functions.llama_model_get_vocab(model) as Pointer;
    this.size = functions.llama_vocab_n_tokens(this.#vocab) as number;
    this.bosToken = functions.llama_vocab_bos(this.#vocab) as number;
    this.eosToken = functions.llama_vocab_eos(this.#vocab) as number;
    this.addsBos = functions.llama_vocab_get_add_bos(this.#vocab) as boolean;
  }

  /** A token that ends an answer. */
  get endToken(): number {
    if (this.eosToken >= 0) return this.eosToken;
    for (let token = 0; token < this.size; token++) if (this.isEndOfGeneration(token)) return token;
    return 0;
  }

  get native(): Pointer {
    return this.#vocab;
  }

  /**
   * Long texts are split on another thread: 100 kB would hold up every stream for tens of milliseconds.
   *
   * @returns not to be written to
   */
  async tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Promise<Int32Array> {
    const bytes = Buffer.from(text, "utf8");
    if (bytes.length < SYNC_TEXT_LENGTH) return this.#split(bytes, addSpecial, parseSpecial);
    const recent = (this.#recent[`${addSpecial} ${parseSpecial}`] ??= new TokenizedTexts());
    const known = recent.get(text);
    if (known !== undefined) return known;
    const tokens = await this.#split(bytes, addSpecial, parseSpecial);
    recent.add(text, tokens);
    return tokens;
  }

  async #split(bytes: Buffer, addSpecial: boolean, parseSpecial: boolean): Promise<Int32Array> {
    // A token is at least a byte; room for BOS, EOS and an added space.
    let tokens = new Int32Array(bytes.length + 4);
    for (;;) {
      const count = await this.#tokenizeInto(bytes, tokens, addSpecial, parseSpecial);
      if (count >= 0) return tokens.slice(0, count);
      if (-count <= tokens.length) throw new Error(`llama_tokenize failed with ${count}`);
      tokens = new Int32Array(-count);
    }
  }

  #tokenizeInto(
    bytes: Buffer,
    tokens: Int32Array,
    addSpecial: boolean,
    parseSpecial: boolean,
  ): Promise<number> | number {
    const args = [
      this.#vocab,
      koffi.as(bytes, "uint8 *"),
      bytes.length,
      koffi.as(tokens, "int32 *"),
      tokens.length,
      addSpecial,
      parseSpecial,
    ] as const;
    if (bytes.length < SYNC_TEXT_LENGTH) return this.#functions.llama_tokenize(...args) as number;
    return new Promise((resolve, reject) => {
      this.#functions.llama_tokenize.async(...args, (error: Error | null, count: number) =>
        error ? reject(error) : resolve(count),
      );
    });
  }

  /** The bytes of a token: not always whole characters. Control tokens have none. */
  pieceOf(token: number): Uint8Array {
    return (this.#pieces[token] ??= this.#readPiece(token, false));
  }

  /** As pieceOf, but control tokens are spelled out: "<|im_end|>". */
  specialPieceOf(token: number): Uint8Array {
    return (this.#specialPieces[token] ??= this.#readPiece(token, true));
  }

  textOf(token: number): string {
    return token < 0 ? "" : Buffer.from(this.specialPieceOf(token)).toString("utf8");
  }

  isEndOfGeneration(token: number): boolean {
    return this.#functions.llama_vocab_is_eog(this.#vocab, token) as boolean;
  }

  isControl(token: number): boolean {
    return this.#functions.llama_vocab_is_control(this.#vocab, token) as boolean;
  }

  #readPiece(token: number, special: boolean): Uint8Array {
    let buffer = new Uint8Array(64);
    let length = this.#functions.llama_token_to_piece(
      this.#vocab,
      token,
      buffer,
      64,
      0,
      special,
    ) as number;
    if (length < 0) {
      buffer = new Uint8Array(-length);
      length = this.#functions.llama_token_to_piece(
        this.#vocab,
        token,
        buffer,
        -length,
        0,
        special,
      ) as number;
    }
    return buffer.slice(0, Math.max(0, length));
  }
}
