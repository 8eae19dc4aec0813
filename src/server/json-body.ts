import type { Context } from "hono";
import { ApiError } from "../openai/index.ts";

/**
 * Reads a request body as JSON, never holding more than `maxBytes` of it.
 *
 * @throws ApiError 415 for another media type (so that no web page can post here without asking),
 * 413 for a body over the limit, 400 for one that is not JSON
 */
export async function readJsonBody(context: Context, maxBytes: number): Promise<unknown> {
  const mediaType = context.req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (mediaType !== "application/json") {
    throw new ApiError(
      415,
      `Unsupported media type: expected the header "content-type: application/json", got ${JSON.stringify(mediaType ?? "none")}`,
      { code: "unsupported_media_type" },
    );
  }
  const text = await readText(context, maxBytes).catch((error: unknown) => {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "The request body did not arrive whole", { cause: error });
  });
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, "The request body is not valid JSON", { code: "invalid_json" });
  }
}

async function readText(context: Context, maxBytes: number): Promise<string> {
  const request = context.req.raw;
  const declaredBytes = request.headers.get("content-length");
  const isChunked = request.headers.has("transfer-encoding");
  // A declared length is enforced by the HTTP parser: no need to count.
  if (declaredBytes !== null && !isChunked) {
    if (Number(declaredBytes) > maxBytes) throw tooLarge(maxBytes);
    return request.text();
  }
  const pieces: Uint8Array[] = [];
  let numBytes = 0;
  for await (const piece of request.body ?? []) {
    numBytes += piece.byteLength;
    if (numBytes > maxBytes) throw tooLarge(maxBytes);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(
    413,
    `The request body is too large: at most ${maxBytes} bytes are accepted`,
    {
      code: "body_too_large",
    },
  );
}
