export interface EmbeddingResponse {
  readonly object: "list";
  readonly data: readonly {
    readonly object: "embedding";
    readonly index: number;
    /** A string: base64. */
    readonly embedding: readonly number[] | string;
  }[];
  readonly model: string;
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}

export function embeddingResponse(
  model: string,
  vectors: readonly Float32Array[],
  format: "float" | "base64",
  numTokens: number,
): EmbeddingResponse {
  const encode = format === "base64" ? toBase64 : (vector: Float32Array) => Array.from(vector);
  return {
    object: "list",
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: encode(vector),
    })),
    model,
    usage: { prompt_tokens: numTokens, total_tokens: numTokens },
  };
}

function toBase64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}
