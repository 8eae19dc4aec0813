import { expect, it, test } from "vitest";
import { parseLoraModule } from "../../../src/models/lora-file.ts";

it.each([
  ["sql=/a/b.gguf", { name: "sql", path: "/a/b.gguf", scale: 1 }],
  ["org/sql-v2=b=c.gguf:0.5", { name: "org/sql-v2", path: "b=c.gguf", scale: 0.5 }],
  [
    '{"name": "sql", "path": "b.gguf", "base_model_name": "x"}',
    { name: "sql", path: "b.gguf", scale: 1 },
  ],
])("parseLoraModule(%j)", (text, module) => {
  expect(parseLoraModule(text)).toEqual(module);
});

test.each(["sql", "=a.gguf", "sql=", '{"name":"sql"}', '{"name":5,"path":"a"}', "{", "null", ""])(
  "parseLoraModule(%j) refuses in a sentence",
  (text) => {
    expect(() => parseLoraModule(text)).toThrow(
      /^Cannot use --lora-modules .*: wanted name=adapter/,
    );
  },
);
