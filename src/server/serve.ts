import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { KiB, UsageError, messageOf } from "../core/index.ts";
import { ApiError } from "../openai/index.ts";

export interface ServeOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
}

/** An app that listens. */
export interface RunningServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Where clients reach it: "http://127.0.0.1:8000". */
  readonly url: string;
  /**
   * Stops accepting, lets requests under way finish for `graceMs`, then cuts them. A later call with
   * less patience wins.
   */
  close(graceMs: number): Promise<void>;
}

const MAX_HEADER_BYTES: number = 32 * KiB;
const MAX_HEADERS = 100;
const MAX_CONNECTIONS = 8192;
const SERVER_OPTIONS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: 30_000,
  /** For the whole body: 64 MiB at 250 KB/s. */
  requestTimeout: 300_000,
  /** Longer than the idle time of usual proxies, so that they close first and no request is lost. */
  keepAliveTimeout: 75_000,
  /** A client that vanished without a word is noticed while it waits for an answer. */
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
};

/** @throws UsageError when the address cannot be listened on */
export async function serve(app: Hono, options: ServeOptions): Promise<RunningServer> {
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    // Requests that never reach the app: no Host header, an URL that is none.
    errorHandler: (error) => badRequest(messageOf(error)),
  });
  let isClosing = false;
  const unfinished = new Set<ServerResponse>();
  const server = createServer(SERVER_OPTIONS, (request, response) => {
    if (isClosing) return refuse(response);
    unfinished.add(response);
    response.once("close", () => {
      unfinished.delete(response);
      if (isClosing) closeIdleSoon(server);
    });
    void listener(request, response);
  });
  server.maxHeadersCount = MAX_HEADERS;
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, options);
  const { address: host, port, family } = server.address() as AddressInfo;

  const closed = new Promise<void>((resolve) => server.once("close", resolve));
  const close = async (graceMs: number): Promise<void> => {
    if (!isClosing) {
      isClosing = true;
      for (const response of unfinished) {
        if (!response.headersSent) response.setHeader("connection", "close");
      }
      server.close();
      server.closeIdleConnections();
    }
    if (graceMs <= 0) server.closeAllConnections();
    const timer = setTimeout(() => server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
  };
  return {
    host,
    port,
    url: `http://${family === "IPv6" ? `[${host}]` : host}:${port}`,
    close,
    [Symbol.asyncDispose]: () => close(0),
  };
}

/**
 * Listens and stops at once, so that a wrong address is known before a model is loaded.
 *
 * @throws UsageError when the address cannot be listened on
 */
export async function checkAddress(options: ServeOptions): Promise<void> {
  const server = createServer();
  await listen(server, options);
  await new Promise((resolve) => server.close(resolve));
}

async function listen(server: Server, { host, port }: ServeOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(
        new UsageError(`Cannot listen on ${host} port ${port}: ${messageOf(error)}`, {
          cause: error,
        }),
      );
    });
    server.listen({ host, port }, resolve);
  });
}

/** Node counts a connection as idle only after its last response has been dealt with. */
function closeIdleSoon(server: Server): void {
  setImmediate(() => server.closeIdleConnections());
}

function badRequest(message: string): Response {
  const { body, status } = new ApiError(400, `Bad request: ${message}`);
  return Response.json(body, { status });
}

/** On a connection that was kept open. */
function refuse(response: ServerResponse): void {
  const { body, status } = new ApiError(503, "The server is shutting down", {
    type: "server_error",
    code: "shutting_down",
  });
  response.writeHead(status, { "content-type": "application/json", connection: "close" });
  response.end(JSON.stringify(body));
}
