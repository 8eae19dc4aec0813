import type { ErrorBody } from "./api-error.ts";
import type { AnswerWriter, Chunk } from "./response.ts";
import type { UsageCounter } from "./usage.ts";
import type { GenerationDelta } from "../engine/index.ts";
import type { StreamOptions } from "./sampling-fields.ts";

/** The last event of every stream. */
const DONE = "data: [DONE]\n\n";

/** One server-sent event. JSON escapes every line break, so one line is enough. */
function encodeEvent(event: Chunk | ErrorBody): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}

export interface ChoiceDelta {
  readonly choiceIndex: number;
  readonly delta: GenerationDelta;
}

/**
 * The events of one streamed answer, each as text ready for the wire. An error thrown by `deltas` is
 * passed on and ends the stream: what the client is told of it is the caller's.
 */
export async function* streamEvents(
  deltas: AsyncIterable<ChoiceDelta>,
  writer: AnswerWriter,
  counter: UsageCounter,
  options: StreamOptions,
): AsyncGenerator<string, void, undefined> {
  const { include_usage: includesUsage, continuous_usage_stats: tellsUsage } = options;
  const begun = new Set<number>();
  for await (const { choiceIndex, delta } of deltas) {
    counter.add(choiceIndex, delta);
    const chunks = begun.has(choiceIndex) ? [] : writer.firstChunks(choiceIndex);
    begun.add(choiceIndex);
    chunks.push(...writer.chunks(choiceIndex, delta));
    if (chunks.length === 0) continue;
    // OpenAI writes "usage": null wherever the usage comes in a chunk of its own.
    const usage = tellsUsage === true ? counter.usage : includesUsage === true ? null : undefined;
    yield chunks
      .map((chunk) => encodeEvent(usage === undefined ? chunk : { ...chunk, usage }))
      .join("");
  }
  const last = includesUsage === true ? encodeEvent(writer.usageChunk(counter.usage)) : "";
  yield last + DONE;
}

/** Ends a stream that failed when it had begun. */
export function errorEvents(error: ErrorBody): string {
  return encodeEvent(error) + DONE;
}
