import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";

/** Statuses whose Response must have no body. */
const BODILESS = new Set([204, 205, 304]);

/** When a request left and when the first byte of its answer's body came, in the time of performance.now(). */
export interface WireTiming {
  sentMs?: number | undefined;
  firstByteMs?: number | undefined;
}

/** patientFetch that writes down what happens on the wire, without the time a client takes around it. */
export function timedFetch(timing: WireTiming): typeof patientFetch {
  return async (input, init) => {
    timing.sentMs = performance.now();
    const response = await patientFetch(input, init);
    const stamp = new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        timing.firstByteMs ??= performance.now();
        controller.enqueue(bytes);
      },
    });
    return new Response(response.body?.pipeThrough(stamp), response);
  };
}

/**
 * `fetch` over node:http. The built-in one gives up after five minutes without a byte, and the first
 * token of a long prompt may take longer than that on a CPU. Bounded by the caller's signal.
 */
export function patientFetch(
  input: string | URL | Request,
  init: RequestInit = {},
): Promise<Response> {
  const url = new URL(input instanceof Request ? input.url : input);
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      {
        method: init.method ?? "GET",
        headers: Object.fromEntries(new Headers(init.headers)),
        signal: init.signal ?? undefined,
      },
      (message) => {
        const status = message.statusCode ?? 500;
        const body = Readable.toWeb(message) as ReadableStream<Uint8Array>;
        const headers = new Headers();
        for (const [name, value] of Object.entries(message.headers)) {
          for (const one of [value ?? []].flat()) headers.append(name, one);
        }
        resolve(new Response(BODILESS.has(status) ? null : body, { status, headers }));
      },
    );
    request.on("error", (error: NodeJS.ErrnoException) => {
      // The server has closed a connection that was kept open: nobody has read the request.
      if (request.reusedSocket && error.code === "ECONNRESET") resolve(patientFetch(input, init));
      else reject(error);
    });
    request.end(init.body);
  });
}
