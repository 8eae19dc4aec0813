const F16_BYTES = 2;

/**
 * Bytes of f16 KV that one token takes in all layers; recurrent layers take none.
 *
 * @param numbersAt the model's own metadata: one number, or one for each layer
 * @returns undefined when the file does not say enough
 */
export function kvBytesPerToken(
  numbersAt: (key: string) => readonly number[] | undefined,
): number | undefined {
  const numLayers = numbersAt("block_count")?.[0];
  const heads = numbersAt("attention.head_count");
  const kvHeads = numbersAt("attention.head_count_kv") ?? heads;
  const width = numbersAt("embedding_length")?.[0];
  if (numLayers === undefined || heads === undefined || kvHeads === undefined) return undefined;
  const headLength = (layer: number): number => (width ?? Number.NaN) / perLayer(heads, layer);
  const keyLength = numbersAt("attention.key_length")?.[0];
  const valueLength = numbersAt("attention.value_length")?.[0];
  // Multi-head latent attention keeps one compressed row and no values.
  const isLatent = (numbersAt("attention.key_length_mla")?.[0] ?? 0) > 0;
  const recurrentLayers = numbersAt("attention.recurrent_layers");
  const attentionInterval = numbersAt("full_attention_interval")?.[0];
  const isRecurrent = (layer: number): boolean =>
    recurrentLayers?.length === numLayers
      ? recurrentLayers[layer] === 1
      : attentionInterval !== undefined && (layer + 1) % attentionInterval !== 0;

  let numbers = 0;
  for (let layer = 0; layer < numLayers; layer++) {
    const numKvHeads = perLayer(kvHeads, layer);
    if (numKvHeads === 0 || isRecurrent(layer)) continue;
    const values = isLatent ? 0 : (valueLength ?? headLength(layer));
    numbers += numKvHeads * ((keyLength ?? headLength(layer)) + values);
  }
  return Number.isFinite(numbers) ? numbers * F16_BYTES : undefined;
}

function perLayer(values: readonly number[], layer: number): number {
  return values[layer] ?? values[0]!;
}
