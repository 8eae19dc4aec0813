import type { GgufValue } from "./gguf.ts";

/** Token ids 0 to 255 are the bytes themselves; these follow. */
const CONTROL_TOKENS = [
  "<|begin_of_text|>",
  "<|end_of_text|>",
  "<|im_start|>",
  "<|im_end|>",
] as const;

const NUM_BYTE_TOKENS = 256;
const TOKEN_TYPE_NORMAL = 1;
const TOKEN_TYPE_CONTROL = 3;

export const SYNTH_VOCABULARY_SIZE: number = NUM_BYTE_TOKENS + CONTROL_TOKENS.length;

const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Whether a token is text that a person can read: printable ASCII or a line break. */
export function isReadableToken(token: number): boolean {
  return (token >= 0x20 && token <= 0x7e) || token === 0x0a;
}

/** A tokenizer of single bytes, so that any text can be sent: a vocabulary without merges. */
export function synthTokenizerMetadata(): [string, GgufValue][] {
  const bytes = Array.from({ length: NUM_BYTE_TOKENS }, (_, byte) => letterOfByte(byte));
  const controlId = (token: (typeof CONTROL_TOKENS)[number]): GgufValue => ({
    type: "uint32",
    value: NUM_BYTE_TOKENS + CONTROL_TOKENS.indexOf(token),
  });
  return [
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    // Every split of the text gives the same bytes; this one is fast and keeps spaces in front of
    // punctuation when text is put together again.
    ["tokenizer.ggml.pre", { type: "string", value: "qwen2" }],
    [
      "tokenizer.ggml.tokens",
      { type: "array", elementType: "string", value: [...bytes, ...CONTROL_TOKENS] },
    ],
    [
      "tokenizer.ggml.token_type",
      {
        type: "array",
        elementType: "int32",
        value: [
          ...bytes.map(() => TOKEN_TYPE_NORMAL),
          ...CONTROL_TOKENS.map(() => TOKEN_TYPE_CONTROL),
        ],
      },
    ],
    ["tokenizer.ggml.merges", { type: "array", elementType: "string", value: [] }],
    ["tokenizer.ggml.bos_token_id", controlId("<|begin_of_text|>")],
    ["tokenizer.ggml.eos_token_id", controlId("<|end_of_text|>")],
    ["tokenizer.ggml.eot_token_id", controlId("<|im_end|>")],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
    ["tokenizer.chat_template", { type: "string", value: CHAT_TEMPLATE }],
  ];
}

/**
 * GPT-2's alphabet: visible characters of Latin-1 stand for themselves, the other bytes for the
 * characters from U+0100 on, in order.
 */
function letterOfByte(byte: number): string {
  if (isVisible(byte)) return String.fromCharCode(byte);
  let numHidden = 0;
  for (let other = 0; other < byte; other++) if (!isVisible(other)) numHidden++;
  return String.fromCharCode(0x100 + numHidden);
}

function isVisible(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
}
