import type { Hono } from "hono";
import { afterEach, describe, expect, it } from "vitest";
import { TierError } from "../../../src/core/index.ts";
import {
  CHUNK_TOKENS,
  SLAB_BYTES,
  type CacheApp,
  type CacheAppOptions,
  makeApp,
  makeCacheApp,
} from "./cache-app.ts";
import { BOS, FakeEngine } from "./fake-engine.ts";
import { type Json, post, postJson } from "./requests.ts";

const CPU = "LocalCPUBackend";
const DISK = "LocalDiskBackend";
/** With the BOS in front, four chunks and a partial one. */
const TEXT = "a prompt of seventy letters, which is more than four chunks of sixteen";
const NUM_TOKENS = TEXT.length + 1;

const open: CacheApp[] = [];
afterEach(async () => {
  for (const fixture of open.splice(0)) await fixture[Symbol.asyncDispose]();
});

async function start(options: CacheAppOptions = {}): Promise<CacheApp> {
  const fixture = await makeCacheApp(options);
  open.push(fixture);
  return fixture;
}

async function clear(app: Hono, path = "/cache"): Promise<Json> {
  return (await app.request(path, { method: "DELETE" })).json();
}

describe("POST /cache/lookup", () => {
  it("tells how many tokens are stored and in which tiers", async () => {
    const fixture = await start();
    expect(await postJson(fixture.app, "/cache/lookup", { prompt: TEXT })).toEqual({
      total_tokens: NUM_TOKENS,
      hit_tokens: 0,
      tiers: { [CPU]: 0, [DISK]: 0 },
    });
    await fixture.store(TEXT);
    expect(await postJson(fixture.app, "/cache/lookup", { prompt: TEXT })).toEqual({
      total_tokens: NUM_TOKENS,
      hit_tokens: NUM_TOKENS,
      tiers: { [CPU]: NUM_TOKENS, [DISK]: NUM_TOKENS },
    });
  });

  it("counts a longer prompt up to the end of the shorter one that it begins with, but for its last token", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    const answer = await postJson(fixture.app, "/cache/lookup", { prompt: `${TEXT}, and more` });
    expect(answer.hit_tokens).toBe(NUM_TOKENS - 1);
  });

  it("counts across tiers when the prompt is split between them", async () => {
    const fixture = await start();
    const tokens = await fixture.engine.tokenize(TEXT, { addSpecial: true });
    await fixture.store(TEXT);
    await fixture.cache.clear({ tokens: tokens.slice(0, 32), location: DISK });
    await fixture.cache.clear({ tokens: tokens.slice(0, 64), location: CPU });
    await fixture.store(tokens.slice(0, 32));
    await fixture.cache.clear({ tokens: tokens.slice(0, 32), location: DISK });
    expect(await postJson(fixture.app, "/cache/lookup", { prompt: TEXT })).toEqual({
      total_tokens: NUM_TOKENS,
      hit_tokens: NUM_TOKENS,
      tiers: { [CPU]: 32, [DISK]: 0 },
    });
  });

  it("takes the same prompt as token ids, under both names", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    const ids = [BOS, ...Buffer.from(TEXT)];
    for (const body of [{ prompt: ids }, { tokens: ids }]) {
      expect((await postJson(fixture.app, "/cache/lookup", body)).hit_tokens).toBe(NUM_TOKENS);
    }
  });

  it("finds messages under the tokens that a chat request would be run with", async () => {
    const fixture = await start();
    const messages = [{ role: "user", content: "a question that is longer than one chunk" }];
    const { tokens } = await postJson(fixture.app, "/tokenize", { messages });
    await fixture.store(Int32Array.from(tokens as number[]));
    const answer = await postJson(fixture.app, "/cache/lookup", { messages });
    expect([answer.total_tokens, answer.hit_tokens]).toEqual([tokens.length, tokens.length]);
  });

  it("keeps salts and tags apart", async () => {
    const fixture = await start();
    await fixture.store(TEXT, { salt: "s", tags: { user: "anna" } });
    const hits = async (body: object): Promise<number> =>
      (await postJson(fixture.app, "/cache/lookup", { prompt: TEXT, ...body })).hit_tokens;
    expect(await hits({})).toBe(0);
    expect(await hits({ cache_salt: "s" })).toBe(0);
    const kv_transfer_params = { "lmcache.tag.user": "anna", "lmcache.skip_save": true };
    expect(await hits({ cache_salt: "s", kv_transfer_params })).toBe(NUM_TOKENS);
  });

  it.each([
    [{}, "Expected one of 'prompt', 'messages' and 'tokens': none of them is there", "prompt"],
    [{ prompt: "a", tokens: [1] }, "got several", "prompt"],
    [{ prompt: ["a", "b"] }, "expected one prompt, got 2", "prompt"],
    [{ tokens: "a" }, "Invalid 'tokens': expected a list of token ids", "tokens"],
    [{ tokens: [] }, "got an empty list", "tokens"],
    [{ tokens: [1, 1.5] }, "Invalid 'tokens[1]': expected a token id, got 1.5", "tokens[1]"],
    [{ tokens: [258] }, "258", "tokens"],
    [{ messages: [] }, "expected at least one message", "messages"],
    [{ messages: [{ role: "user" }] }, "Invalid 'messages[0].content'", "messages[0].content"],
    [{ prompt: "a", cache_salt: 1 }, "Invalid 'cache_salt'", "cache_salt"],
    [{ prompt: "a", promt: "b" }, "Unknown field 'promt'", "promt"],
    [{ prompt: "x".repeat(5000) }, "maximum context length is 4096 tokens", "prompt"],
    [
      { messages: [{ role: "user", content: "a" }], add_special_tokens: true },
      "cannot honour 'add_special_tokens' for messages",
      "add_special_tokens",
    ],
  ])("refuses %j", async (body, message, param) => {
    const { app } = await start();
    const response = await post(app, "/cache/lookup", body);
    const { error } = (await response.json()) as Json;
    expect([response.status, error.type, error.param]).toEqual([
      400,
      "invalid_request_error",
      param,
    ]);
    expect(error.message).toContain(message);
  });

  it("refuses a model that is not served", async () => {
    const { app } = await start();
    const response = await post(app, "/cache/lookup", { prompt: "a", model: "gpt-4" });
    expect(response.status).toBe(404);
  });
});

describe("POST /cache/prefetch", () => {
  it("answers what there is to bring, and brings it", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    await clear(fixture.app, `/cache?tier=${CPU}`);
    const response = await post(fixture.app, "/cache/prefetch", { prompt: TEXT });
    const answer = (await response.json()) as Json;
    expect(response.status).toBe(202);
    expect(answer).toMatchObject({
      status: "running",
      total_tokens: NUM_TOKENS,
      hit_tokens: NUM_TOKENS,
      tokens_to_bring: NUM_TOKENS,
      tokens_brought: 0,
    });
    const status = `/cache/prefetch/${answer.request_id}`;
    const last = (await (await fixture.app.request(`${status}?wait`)).json()) as Json;
    expect(last).toEqual({ ...answer, status: "done", tokens_brought: NUM_TOKENS });
    const { tiers } = await postJson(fixture.app, "/cache/lookup", { prompt: TEXT });
    expect(tiers).toEqual({ [CPU]: NUM_TOKENS, [DISK]: NUM_TOKENS });
  });

  it.each([
    ["/cache/prefetch?wait=true", {}],
    ["/cache/prefetch", { wait: true }],
  ])("%s %j answers when the chunks are there", async (path, fields) => {
    const fixture = await start();
    await fixture.store(TEXT);
    await clear(fixture.app, `/cache?tier=${CPU}`);
    const response = await post(fixture.app, path, { prompt: TEXT, ...fields });
    expect([response.status, await response.json()]).toEqual([
      200,
      expect.objectContaining({ status: "done", tokens_brought: NUM_TOKENS }),
    ]);
  });

  it("has nothing to bring of what is in CPU RAM or nowhere", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    for (const [prompt, numHits] of [
      [TEXT, NUM_TOKENS],
      ["another prompt", 0],
    ] as const) {
      expect(await postJson(fixture.app, "/cache/prefetch?wait=1", { prompt })).toMatchObject({
        status: "done",
        hit_tokens: numHits,
        tokens_to_bring: 0,
        tokens_brought: 0,
      });
    }
  });

  it("stops waiting for a slow tier when the time is up", async () => {
    const fixture = await start({ maxWaitMs: 5 });
    fixture.cache.prefetch = () => new Promise(() => {});
    const response = await post(fixture.app, "/cache/prefetch", { prompt: TEXT, wait: true });
    const { request_id: id, status } = (await response.json()) as Json;
    expect([response.status, status]).toEqual([202, "running"]);
    const later = await fixture.app.request(`/cache/prefetch/${id}?wait`);
    expect(((await later.json()) as Json).status).toBe("running");
  });

  it("tells of one that failed", async () => {
    const fixture = await start();
    fixture.cache.prefetch = () => Promise.reject(new Error("Out of order"));
    const answer = await postJson(fixture.app, "/cache/prefetch", { prompt: TEXT, wait: true });
    expect(answer).toMatchObject({ status: "failed", tokens_brought: 0 });
  });

  it("is a 409 without a CPU tier", async () => {
    const { app } = await start({ localCpu: false });
    const response = await post(app, "/cache/prefetch", { prompt: TEXT });
    expect(response.status).toBe(409);
    expect(((await response.json()) as Json).error.code).toBe("no_cpu_tier");
  });

  it("turns away more than 64 at a time", async () => {
    const fixture = await start();
    fixture.cache.prefetch = () => new Promise(() => {});
    for (let num = 0; num < 64; num++) {
      expect((await post(fixture.app, "/cache/prefetch", { prompt: TEXT })).status).toBe(202);
    }
    const response = await post(fixture.app, "/cache/prefetch", { prompt: TEXT });
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "1"]);
  });

  it("can be asked about the last 256 that ended", async () => {
    const { app, cache } = await start();
    cache.prefetch = async () => 0;
    const ids: string[] = [];
    for (let num = 0; num < 257; num++) {
      const answer = await postJson(app, "/cache/prefetch", { tokens: [1], wait: true });
      ids.push(answer.request_id as string);
    }
    expect((await app.request(`/cache/prefetch/${ids[0]}`)).status).toBe(404);
    expect((await app.request(`/cache/prefetch/${ids[1]}`)).status).toBe(200);
  });

  it("an unknown id is a 404, and another value of wait a 400", async () => {
    const { app } = await start();
    expect((await app.request("/cache/prefetch/none")).status).toBe(404);
    expect((await post(app, "/cache/prefetch?wait=maybe", { prompt: TEXT })).status).toBe(400);
  });
});

describe("GET /cache/stats", () => {
  it("tells levels and counters of each tier", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    await postJson(fixture.app, "/cache/pin", { prompt: TEXT });
    const stats = (await (await fixture.app.request("/cache/stats")).json()) as Json;
    expect(stats).toMatchObject({
      chunk_tokens: CHUNK_TOKENS,
      num_pinned_chunks: 5,
      pool_used_bytes: 5 * SLAB_BYTES,
      pool_capacity_bytes: 64 * SLAB_BYTES,
      tiers: {
        [CPU]: { num_chunks: 5, used_bytes: 5 * SLAB_BYTES, num_stored: 5, num_hits: 5 },
        [DISK]: { is_up: true, num_chunks: 5, num_stored: 5, num_evicted: 0, num_damaged: 0 },
      },
    });
  });
});

describe("POST /cache/pin and /cache/unpin", () => {
  it("pins what is stored, until it is unpinned", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    expect(await postJson(fixture.app, "/cache/pin", { prompt: TEXT })).toEqual({
      total_tokens: NUM_TOKENS,
      pinned_tokens: NUM_TOKENS,
    });
    expect((await clear(fixture.app)).removed_chunks).toBe(5);
    const { tiers } = await postJson(fixture.app, "/cache/lookup", { prompt: TEXT });
    expect(tiers[CPU]).toBe(NUM_TOKENS);
    const unpin = (): Promise<Json> => postJson(fixture.app, "/cache/unpin", { prompt: TEXT });
    expect([await unpin(), await unpin()]).toEqual([{ unpinned: true }, { unpinned: false }]);
    expect((await clear(fixture.app)).removed_chunks).toBe(5);
  });

  it.each([
    [{ ttl: 2.5 }, 2500],
    [{}, 300_000],
  ])("a pin with %j ends after %i ms", async (fields, durationMs) => {
    const fixture = await start();
    await fixture.store(TEXT);
    await postJson(fixture.app, "/cache/pin", { prompt: TEXT, ...fields });
    fixture.clock.ms += durationMs - 1;
    await postJson(fixture.app, "/cache/lookup", { prompt: TEXT });
    expect(fixture.cache.stats().numPinnedChunks).toBe(5);
    fixture.clock.ms += 1;
    await postJson(fixture.app, "/cache/lookup", { prompt: TEXT });
    expect(fixture.cache.stats().numPinnedChunks).toBe(0);
  });

  it("pins nothing of what is not stored", async () => {
    const { app } = await start();
    expect(await postJson(app, "/cache/pin", { prompt: TEXT })).toMatchObject({ pinned_tokens: 0 });
  });

  it("is a 409 when too much is pinned already", async () => {
    const fixture = await start({ numSlabs: 8 });
    await fixture.store(TEXT);
    const response = await post(fixture.app, "/cache/pin", { prompt: TEXT });
    expect([response.status, ((await response.json()) as Json).error.code]).toEqual([
      409,
      "too_many_pins",
    ]);
  });

  it.each([0, -1, 604_801, "60"])("refuses a ttl of %j", async (ttl) => {
    const { app } = await start();
    const response = await post(app, "/cache/pin", { prompt: TEXT, ttl });
    expect([response.status, ((await response.json()) as Json).error.param]).toEqual([400, "ttl"]);
  });
});

describe("DELETE /cache", () => {
  it("clears all tiers and tells what went", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    expect(await clear(fixture.app)).toEqual({
      removed_chunks: 10,
      tiers: { [CPU]: 5, [DISK]: 5 },
    });
    expect((await postJson(fixture.app, "/cache/lookup", { prompt: TEXT })).hit_tokens).toBe(0);
  });

  it("?tier= clears only that one", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    expect(await clear(fixture.app, `/cache?tier=${CPU}`)).toEqual({
      removed_chunks: 5,
      tiers: { [CPU]: 5 },
    });
    const { tiers } = await postJson(fixture.app, "/cache/lookup", { prompt: TEXT });
    expect(tiers).toEqual({ [CPU]: 0, [DISK]: NUM_TOKENS });
  });

  it("with a body drops only the chunks of that prompt, pinned ones too", async () => {
    const fixture = await start();
    const other = "another prompt that shares nothing";
    await fixture.store(TEXT);
    await fixture.store(other);
    await postJson(fixture.app, "/cache/pin", { prompt: TEXT });
    const response = await fixture.app.request("/cache", {
      method: "DELETE",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: TEXT }),
    });
    expect(await response.json()).toEqual({ removed_chunks: 10, tiers: { [CPU]: 5, [DISK]: 5 } });
    const hits = async (prompt: string): Promise<number> =>
      (await postJson(fixture.app, "/cache/lookup", { prompt })).hit_tokens;
    expect([await hits(TEXT), await hits(other)]).toEqual([0, other.length + 1]);
  });

  it.each([
    ["/cache?tier=GpuBackend", undefined, "expected one of LocalCPUBackend, LocalDiskBackend"],
    ["/cache?teir=LocalCPUBackend", undefined, "Unknown parameter 'teir'"],
    ["/cache", "{}", "none of them is there"],
    ["/cache", '{"prompt":null}', "none of them is there"],
    ["/cache", "", "not valid JSON"],
  ])("%s with the body %j clears nothing", async (path, body, message) => {
    const fixture = await start();
    await fixture.store(TEXT);
    const headers = { "content-type": "application/json" };
    const request = body === undefined ? {} : { headers, body };
    const response = await fixture.app.request(path, { method: "DELETE", ...request });
    expect([response.status, ((await response.json()) as Json).error.message]).toEqual([
      400,
      expect.stringContaining(message),
    ]);
    expect(fixture.cache.stats().tiers[CPU]!.numChunks).toBe(5);
  });

  it("with a body of another media type clears nothing", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    const body = JSON.stringify({ prompt: TEXT });
    const response = await fixture.app.request("/cache", { method: "DELETE", body });
    expect(response.status).toBe(415);
    expect(fixture.cache.stats().tiers[CPU]!.numChunks).toBe(5);
  });

  it("is a 503 when a tier is broken, and the others are cleared all the same", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    const failure = new TierError(DISK, "unavailable", "The disk is gone");
    fixture.cache.tiers.tier(DISK).clear = () => Promise.reject(failure);
    const response = await fixture.app.request("/cache", { method: "DELETE" });
    expect([response.status, ((await response.json()) as Json).error]).toEqual([
      503,
      expect.objectContaining({
        code: "unavailable",
        message: `${DISK}: The disk is gone`,
      }),
    ]);
    expect(fixture.cache.stats().tiers[CPU]!.numChunks).toBe(0);
  });
});

describe("POST /cache/move", () => {
  const move = { prompt: TEXT, from: CPU, to: DISK };

  it("moves a prompt from one tier to another", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    await clear(fixture.app, `/cache?tier=${DISK}`);
    expect(await postJson(fixture.app, "/cache/move", move)).toEqual({
      total_tokens: NUM_TOKENS,
      moved_tokens: NUM_TOKENS,
    });
    const { tiers } = await postJson(fixture.app, "/cache/lookup", { prompt: TEXT });
    expect(tiers).toEqual({ [CPU]: 0, [DISK]: NUM_TOKENS });
  });

  it("with copy leaves it where it was, too", async () => {
    const fixture = await start();
    await fixture.store(TEXT);
    await clear(fixture.app, `/cache?tier=${CPU}`);
    await postJson(fixture.app, "/cache/move", { ...move, from: DISK, to: CPU, copy: true });
    const { tiers } = await postJson(fixture.app, "/cache/lookup", { prompt: TEXT });
    expect(tiers).toEqual({ [CPU]: NUM_TOKENS, [DISK]: NUM_TOKENS });
  });

  it.each([
    [{ to: CPU }, "to itself"],
    [{ to: "GpuBackend" }, "expected one of LocalCPUBackend, LocalDiskBackend"],
    [{ from: undefined }, "Invalid 'from': it is missing"],
  ])("refuses %j", async (fields, message) => {
    const { app } = await start();
    const response = await post(app, "/cache/move", { ...move, ...fields });
    expect([response.status, ((await response.json()) as Json).error.message]).toEqual([
      400,
      expect.stringContaining(message),
    ]);
  });
});

describe("cacheRoutes()", () => {
  it.each([
    ["GET", "/cache/stats"],
    ["POST", "/cache/lookup"],
    ["POST", "/cache/prefetch"],
    ["POST", "/cache/pin"],
    ["DELETE", "/cache"],
  ])("%s %s is a 503 when caching is off", async (method, path) => {
    const response = await makeApp(new FakeEngine(), undefined).request(path, { method });
    expect([response.status, ((await response.json()) as Json).error.code]).toEqual([
      503,
      "cache_off",
    ]);
  });

  it("asks for the same API keys as the rest", async () => {
    const { app } = await start({ app: { apiKeys: ["secret"] } });
    expect((await app.request("/cache/stats")).status).toBe(401);
    expect((await app.request("/cache", { method: "DELETE" })).status).toBe(401);
    const headers = { authorization: "Bearer secret" };
    expect((await app.request("/cache/stats", { headers })).status).toBe(200);
  });

  it("answers other methods with those it knows", async () => {
    const { app } = await start();
    const response = await app.request("/cache");
    expect([response.status, response.headers.get("allow")]).toEqual([405, "DELETE"]);
    expect((await app.request("/cache/lookup")).status).toBe(405);
  });
});
