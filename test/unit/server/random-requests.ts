import fc from "fast-check";

export const FIELD_NAMES = [
  "model prompt messages n stream stream_options temperature top_p presence_penalty",
  "frequency_penalty logit_bias seed max_tokens max_completion_tokens stop response_format top_k",
  "min_p repetition_penalty min_tokens stop_token_ids ignore_eos cache_salt kv_transfer_params",
  "priority request_id echo logprobs top_logprobs best_of suffix tools tool_choice user metadata",
  "add_special_tokens add_generation_prompt chat_template_kwargs tokens parallel_tool_calls",
  "skip_special_tokens reasoning_effort include_reasoning input encoding_format dimensions",
  "continue_final_message documents prompt_logprobs bad_words allowed_token_ids truncate_prompt_tokens return_token_ids return_tokens_as_token_ids",
  "include_stop_str_in_output",
  "structured_outputs guided_json guided_regex guided_choice json_schema",
].flatMap((line) => line.split(" "));

const number = fc.oneof(
  fc.integer({ min: -2, max: 300 }),
  fc.double(),
  fc.constantFrom(Number.MAX_VALUE, 2 ** 31, 2 ** 53),
);
const prompt = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(fc.nat(258), { maxLength: 8 }),
  fc.array(fc.string(), { maxLength: 4 }),
  fc.array(fc.array(fc.nat(258), { minLength: 1 }), { maxLength: 4 }),
);
const toolCall = fc.record({
  id: fc.string(),
  type: fc.constant("function"),
  function: fc.record({ name: fc.string(), arguments: fc.oneof(fc.json(), fc.string()) }),
});
const message = fc.record(
  {
    role: fc.constantFrom("system", "developer", "user", "assistant", "tool"),
    content: fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(fc.record({ type: fc.constantFrom("text", "image_url"), text: fc.string() })),
      fc.constant(null),
    ),
    tool_calls: fc.option(fc.array(toolCall, { maxLength: 2 }), { nil: null }),
    tool_call_id: fc.option(fc.string(), { nil: null }),
  },
  { requiredKeys: ["role"] },
);
export const anyValue = fc.oneof(
  number,
  fc.boolean(),
  fc.string(),
  fc.constant(null),
  fc.constantFrom({ include_usage: true }, { type: "text" }, { "5": 1 }),
  fc.jsonValue({ maxDepth: 4 }),
  prompt,
);
const keyword = fc.constantFrom(
  ..."type properties required items enum const anyOf oneOf allOf $ref pattern format minimum maxLength additionalProperties not title".split(
    " ",
  ),
);
/** Schemas by their words, right and wrong. */
const { schema } = fc.letrec((tie) => ({
  schema: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom({ type: "string" }, { enum: [1, "a"] }, true, { pattern: "^a+$" }),
    fc.record({
      type: fc.constant("object"),
      properties: fc.dictionary(fc.string(), tie("schema"), { maxKeys: 3 }),
    }),
    fc.dictionary(keyword, fc.oneof(tie("schema"), fc.jsonValue({ maxDepth: 2 })), { maxKeys: 3 }),
  ),
}));
export const responseFormat = fc.oneof(
  fc.record({ type: fc.constantFrom("text", "json_object", "json_schema", "xml") }),
  fc.record({
    type: fc.constant("json_schema"),
    json_schema: fc.record(
      { name: fc.constant("a"), schema, strict: fc.boolean() },
      { requiredKeys: ["name"] },
    ),
  }),
);
const structuredOutputs = fc.oneof(
  fc.record({ json: schema }),
  fc.record({ regex: fc.constantFrom("[ab]+", "^\\d{2}$", "(", "a(?=b)") }),
  fc.record({ choice: fc.array(fc.string({ minLength: 1 })) }),
);
export const tools = fc.array(
  fc.record({
    type: fc.constant("function"),
    function: fc.record(
      { name: fc.constantFrom("f", "g", "h"), parameters: schema, strict: fc.boolean() },
      { requiredKeys: ["name"] },
    ),
  }),
  { maxLength: 3 },
);
const chatFields = fc.record(
  {
    tools,
    tool_choice: fc.oneof(
      fc.constantFrom("none", "auto", "required"),
      fc.constant({ type: "function", function: { name: "f" } }),
    ),
    parallel_tool_calls: fc.boolean(),
    include_reasoning: fc.boolean(),
    echo: fc.boolean(),
    reasoning_effort: fc.constantFrom("low", "high"),
    logprobs: fc.boolean(),
  },
  { requiredKeys: [] },
);
const wrongFields = fc.dictionary(fc.constantFrom(...FIELD_NAMES), anyValue, { maxKeys: 2 });
const rightFields = fc.record(
  {
    n: fc.integer({ min: 1, max: 8 }),
    stream: fc.boolean(),
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    top_k: fc.integer({ min: -1, max: 50 }),
    logit_bias: fc.dictionary(fc.nat(257).map(String), fc.integer({ min: -100, max: 100 })),
    seed: fc.maxSafeInteger(),
    max_tokens: fc.integer({ min: 5, max: 60 }),
    min_tokens: fc.nat(5),
    stop: fc.oneof(fc.string({ minLength: 1 }), fc.array(fc.string({ minLength: 1 }))),
    stop_token_ids: fc.array(fc.nat(257)),
    kv_transfer_params: fc.dictionary(fc.string(), fc.jsonValue()),
    cache_salt: fc.string({ minLength: 1, unit: "binary" }),
    user: fc.jsonValue(),
    response_format: fc.option(responseFormat, { nil: null, freq: 1 }),
    structured_outputs: fc.option(structuredOutputs, { nil: null, freq: 1 }),
    skip_special_tokens: fc.boolean(),
    include_stop_str_in_output: fc.boolean(),
    bad_words: fc.array(fc.string({ minLength: 1, unit: "binary" }), { maxLength: 3 }),
    allowed_token_ids: fc.array(fc.nat(257), { minLength: 1 }),
    truncate_prompt_tokens: fc.integer({ min: -1, max: 9 }),
    return_token_ids: fc.boolean(),
    prompt_logprobs: fc.option(fc.nat(3), { nil: null, freq: 1 }),
    return_tokens_as_token_ids: fc.boolean(),
  },
  { requiredKeys: [] },
);
const fields = fc
  .tuple(rightFields, fc.option(wrongFields, { nil: {}, freq: 1 }))
  .map(([right, wrong]) => ({ ...right, ...wrong }));
const embeddingFields = fc.record(
  {
    encoding_format: fc.constantFrom("float", "base64", "int8"),
    dimensions: fc.integer({ min: 0, max: 4 }),
    add_special_tokens: fc.boolean(),
    user: fc.string(),
  },
  { requiredKeys: [] },
);
const question = fc.oneof(
  fc.tuple(fc.constant("/v1/completions"), fc.record({ prompt }), fields),
  fc.tuple(
    fc.constant("/v1/chat/completions"),
    fc.record({ messages: fc.array(message, { maxLength: 4 }) }),
    fc.tuple(fields, chatFields).map(([all, chat]) => ({ ...chat, ...all })),
  ),
  fc.tuple(fc.constant("/v1/embeddings"), fc.record({ input: prompt }), embeddingFields),
  fc.tuple(fc.constant("/tokenize"), fc.record({ prompt }), fc.constant({})),
  fc.tuple(fc.constant("/detokenize"), fc.record({ tokens: prompt }), wrongFields),
);
/** A path and a body for it, of which about half are right. */
export const request: fc.Arbitrary<{ path: string; body: unknown }> = fc.oneof(
  {
    weight: 9,
    arbitrary: question.map(([path, base, more]) => ({
      path,
      body: { ...base, ...more } as unknown,
    })),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      path: fc.constantFrom("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"),
      body: fc.jsonValue() as fc.Arbitrary<unknown>,
    }),
  },
);
