import { describe, expect, it } from "vitest";
import { post, readEvents, testApp } from "./requests.ts";
import type { Json } from "./requests.ts";

const PATH = "/v1/completions";
/** Gives one token and then none. */
const stuck = {
  beforeDelta: (_: unknown, index: number) =>
    index === 0 ? Promise.resolve() : new Promise<void>(() => {}),
};

describe("a request's deadline", () => {
  it("ends an answer that takes longer than the server allows, and frees the engine", async () => {
    const { app, engine } = testApp(stuck, { requestTimeoutMs: 20 });
    const response = await post(app, PATH, { prompt: "ab" });
    expect(response.status).toBe(408);
    expect(response.headers.get("x-should-retry")).toBe("false");
    const { error } = (await response.json()) as Json;
    expect(error).toMatchObject({ code: "request_timeout", type: "timeout_error" });
    expect(engine.numActive).toBe(0);
  });

  it("ends a stream with an error event", async () => {
    const { app, engine } = testApp(stuck, { requestTimeoutMs: 20 });
    const events = await readEvents(await post(app, PATH, { prompt: "ab", stream: true }));
    expect(events.at(-2)).toMatchObject({ error: { code: "request_timeout" } });
    expect(events.at(-1)).toBe("[DONE]");
    expect(engine.numActive).toBe(0);
  });

  it("may be set by the client, but not beyond the server's", async () => {
    const headers = { "x-request-timeout": "0.02" };
    const alone = testApp(stuck);
    expect((await post(alone.app, PATH, { prompt: "ab" }, headers)).status).toBe(408);
    const { app } = testApp(stuck, { requestTimeoutMs: 20 });
    const response = await post(app, PATH, { prompt: "ab" }, { "x-request-timeout": "3600" });
    expect(response.status).toBe(408);
  });

  it("lets an answer through that is in time", async () => {
    const { app } = testApp({}, { requestTimeoutMs: 10_000 });
    expect((await post(app, PATH, { prompt: "ab" })).status).toBe(200);
  });

  it.each(["soon", "0", "-1", "1e9", ""])("is refused as %j", async (value) => {
    const { app } = testApp();
    const response = await post(app, PATH, { prompt: "ab" }, { "x-request-timeout": value });
    expect(response.status).toBe(400);
    expect(((await response.json()) as Json).error.param).toBe("x-request-timeout");
  });
});
