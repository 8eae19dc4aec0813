import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as the script sees it. */
export interface ScriptedRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Record<string, unknown>;
}

export interface ScriptedServer extends AsyncDisposable {
  /** Without a path. */
  readonly url: string;
  readonly requests: ScriptedRequest[];
}

/** A real HTTP server on a free port that answers as the script says. */
export async function scriptedServer(
  script: (request: ScriptedRequest, response: ServerResponse) => void,
): Promise<ScriptedServer> {
  const requests: ScriptedRequest[] = [];
  const server = createServer((message, response) => {
    void readBody(message).then((body) => {
      const request = { path: message.url!, headers: message.headers, body };
      requests.push(request);
      script(request, response);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function readBody(message: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part as Buffer);
  const text = Buffer.concat(parts).toString("utf8");
  return (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
}

export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

/** Sends raw pieces of an event stream, one write each. */
export function sendEvents(response: ServerResponse, pieces: readonly string[]): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const piece of pieces) response.write(piece);
  response.end();
}

/** One event of a streamed completion. */
export function completionEvent(
  text: string,
  more: { finish_reason?: string; token?: string } = {},
): string {
  const choice = {
    index: 0,
    text,
    logprobs: more.token === undefined ? null : { tokens: [more.token] },
    finish_reason: more.finish_reason ?? null,
  };
  return `data: ${JSON.stringify({ object: "text_completion", choices: [choice] })}\n\n`;
}

export function usageEvent(usage: object): string {
  return `data: ${JSON.stringify({ object: "text_completion", choices: [], usage })}\n\n`;
}

export const DONE = "data: [DONE]\n\n";
