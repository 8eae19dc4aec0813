import { z } from "zod";
import { deepJsonObject } from "./json-object.ts";
import type { JsonObject } from "./json-object.ts";

export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object" }
  | {
      readonly type: "json_schema";
      readonly json_schema: {
        readonly name: string;
        readonly description?: string | null | undefined;
        readonly schema?: JsonObject | null | undefined;
        readonly strict?: boolean | null | undefined;
      };
    };

export const responseFormatShape: z.ZodType<ResponseFormat> = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object") }),
    z.strictObject({
      type: z.literal("json_schema"),
      json_schema: z.strictObject({
        name: z.string().regex(/^[\w-]{1,64}$/, "expected 1 to 64 letters, digits or any of _ -"),
        description: z.string().nullish(),
        schema: deepJsonObject.nullish(),
        strict: z.boolean().nullish(),
      }),
    }),
  ],
  { error: 'expected {"type":"text"}, {"type":"json_object"} or {"type":"json_schema",...}' },
);
