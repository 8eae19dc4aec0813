import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { isDoneWithin, messageOf } from "../core/index.ts";
import { errorEvents } from "../openai/index.ts";
import { toApiError } from "./error-response.ts";
import type { Service } from "./service.ts";

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Said here, the HTTP adapter sends what it has at once; otherwise it waits for more to find a length.
  "transfer-encoding": "chunked",
  // nginx would collect the events otherwise.
  "x-accel-buffering": "no",
};

/**
 * Sends events as they are made, and never makes one before the last one was taken: a slow reader slows
 * its generation down, and one that takes nothing for `stallTimeoutMs` is given up.
 *
 * Resolves at the first event, so that what fails at once (no room in the queue) has its own HTTP status; but
 * a prompt may take minutes, clients wait less long for headers, and these are better made while the
 * engine computes than behind the first token: so they go out after `earlyHeadersMs`.
 */
export async function eventStreamResponse(
  service: Service,
  context: Context,
  events: AsyncGenerator<string, void, undefined>,
  controller: AbortController,
): Promise<Response> {
  const { earlyHeadersMs, logger } = service.options;
  const first = events.next();
  await isDoneWithin(earlyHeadersMs, first);
  // Its failure is met where it is read; the client may leave before that.
  first.catch(() => {});

  let isCancelled = false;
  let isStalled = false;
  const stall = new StallTimer(service.options.stallTimeoutMs, () => {
    logger.warn("Dropped a client that had stopped reading its stream");
    isStalled = true;
    controller.abort();
    void events.return();
    (context.env as Partial<HttpBindings> | undefined)?.outgoing?.destroy();
  });

  let pending: ReturnType<typeof events.next> | undefined = first;
  const nextText = async (): Promise<string | undefined> => {
    try {
      const result = await (pending ?? events.next());
      pending = undefined;
      return result.done ? undefined : result.value;
    } catch (error) {
      if (isCancelled || isStalled || context.req.raw.signal.aborted) return undefined;
      const apiError = toApiError(error);
      if (apiError.status >= 500) logger.error(`A stream failed: ${messageOf(error)}`);
      return errorEvents(apiError.body);
    }
  };

  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(stream) {
        stall.stop();
        const text = await nextText();
        if (isCancelled) return;
        if (text === undefined) return stream.close();
        stream.enqueue(encoder.encode(text));
        stall.start();
      },
      async cancel() {
        stall.stop();
        isCancelled = true;
        controller.abort();
        await events.return();
      },
    },
    { highWaterMark: 0 },
  );
  sendTogether(context);
  return context.newResponse(body, 200, HEADERS);
}

/** Headers and the first event leave in one packet: each one wakes the client up. */
function sendTogether(context: Context): void {
  const outgoing = (context.env as Partial<HttpBindings> | undefined)?.outgoing;
  outgoing?.cork();
  setImmediate(() => outgoing?.uncork());
}

/** Runs while an event waits for its reader. */
class StallTimer {
  readonly #timeoutMs: number;
  readonly #onStall: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number, onStall: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onStall = onStall;
  }

  start(): void {
    this.#timer = setTimeout(this.#onStall, this.#timeoutMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
