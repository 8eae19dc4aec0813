import type { Hono } from "hono";
import { createApp } from "../../../src/server/index.ts";
import type { AppOptions } from "../../../src/server/index.ts";
import { ChatTemplate } from "../../../src/engine/chat-template.ts";
import { FakeEngine } from "./fake-engine.ts";
import type { FakeEngineOptions } from "./fake-engine.ts";

const TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{{ message.role }}:{{ message.content }};{% endfor %}" +
  "{% if add_generation_prompt %}assistant:{% endif %}";

export interface TestApp {
  readonly app: Hono;
  readonly engine: FakeEngine;
}

export function testApp(
  engineOptions: FakeEngineOptions = {},
  appOptions: Partial<AppOptions> = {},
): TestApp {
  const engine = new FakeEngine(engineOptions);
  const app = createApp({
    engine,
    servedModelNames: ["fake", "org/fake"],
    version: "1.2.3",
    chatTemplate: new ChatTemplate(TEMPLATE, engine.model),
    clock: { nowMs: () => 0, wallMs: () => 1_700_000_000_123 },
    ...appOptions,
  });
  return { app, engine };
}

export async function post(
  app: Hono,
  path: string,
  body: unknown,
  headers = {},
): Promise<Response> {
  return app.request(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of any shape
export type Json = any;

export async function postJson(app: Hono, path: string, body: unknown): Promise<Json> {
  return (await post(app, path, body)).json();
}

/** The events of a stream, parsed; "[DONE]" stays a string. */
export async function readEvents(response: Response): Promise<Json[]> {
  const text = await response.text();
  return text
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => event.replace(/^data: /, ""))
    .map((data) => (data === "[DONE]" ? data : (JSON.parse(data) as Json)));
}
