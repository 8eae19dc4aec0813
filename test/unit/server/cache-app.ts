import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Hono } from "hono";
import { CacheEngine, type PromptScope, TierStack } from "../../../src/cache/index.ts";
import { type Clock, MiB, silentLogger } from "../../../src/core/index.ts";
import { ChatTemplate } from "../../../src/engine/chat-template.ts";
import { HeapMemory, MemoryPool } from "../../../src/memory/index.ts";
import type { CacheRoutesOptions } from "../../../src/server/cache-routes.ts";
import { createApp } from "../../../src/server/index.ts";
import type { AppOptions } from "../../../src/server/index.ts";
import { CpuTier, DiskTier, LruPolicy } from "../../../src/tiers/index.ts";
import { FakeEngine } from "./fake-engine.ts";

export const CHUNK_TOKENS = 16;
/** A header page and one of payload. */
export const SLAB_BYTES = 8192;
const TEMPLATE =
  "{% for message in messages %}{{ message.role }}:{{ message.content }};{% endfor %}" +
  "{% if add_generation_prompt %}assistant:{% endif %}";

export interface CacheAppOptions extends CacheRoutesOptions {
  readonly numSlabs?: number;
  readonly localCpu?: boolean;
  readonly app?: Partial<AppOptions>;
}

/** A server without a model, whose cache is real: CPU tier and disk tier. */
export interface CacheApp extends AsyncDisposable {
  readonly app: Hono;
  readonly engine: FakeEngine;
  readonly cache: CacheEngine;
  readonly clock: Clock & { ms: number };
  /** Of the disk tier. */
  readonly directory: string;
  /** Stores a prompt as an engine that has computed it would. */
  store(prompt: string | Int32Array, scope?: PromptScope): Promise<void>;
}

export async function makeCacheApp(options: CacheAppOptions = {}): Promise<CacheApp> {
  const { numSlabs = 64, localCpu = true } = options;
  const directory = await mkdtemp(path.join(tmpdir(), "warmkv-cache-app-"));
  const pool = new MemoryPool(new HeapMemory(numSlabs * SLAB_BYTES), SLAB_BYTES);
  const clock = { ms: 1000, nowMs: () => clock.ms, wallMs: () => clock.ms };
  const cpu = localCpu ? new CpuTier({ pool, policy: new LruPolicy() }) : undefined;
  const disk = await DiskTier.open({
    paths: [directory],
    maxSizeBytes: 16 * MiB,
    pool,
    policy: new LruPolicy(),
    modelName: "org/model",
  });
  const tiers = cpu === undefined ? [disk] : [cpu, disk];
  const shared = { clock, logger: silentLogger };
  const cache = new CacheEngine({
    instanceId: "test",
    layout: { fingerprint: "0f".repeat(16), tokenPartBytes: (numTokens) => 8 * numTokens },
    chunkTokens: CHUNK_TOKENS,
    tiers: new TierStack({ tiers, hotTier: cpu, ...shared }),
    pool,
    pinTimeoutMs: 300_000,
    ...shared,
  });
  const engine = new FakeEngine();
  return {
    app: makeApp(engine, cache, options),
    engine,
    cache,
    clock,
    directory,
    async store(prompt, scope = {}) {
      const tokens =
        typeof prompt === "string" ? await engine.tokenize(prompt, { addSpecial: true }) : prompt;
      const reservation = cache.reserve(tokens, { ...scope, from: 0 });
      for (const { payload } of reservation.chunks) payload.fill(7);
      const lengths = reservation.chunks.map(({ payload }) => payload.byteLength);
      await cache.store(reservation, lengths, "stored");
      await cache.flush();
    },
    async [Symbol.asyncDispose]() {
      await cache[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** @param cache undefined: caching is off */
export function makeApp(
  engine: FakeEngine,
  cache: CacheEngine | undefined,
  options: CacheAppOptions = {},
): Hono {
  return createApp({
    engine,
    servedModelNames: ["fake"],
    chatTemplate: new ChatTemplate(TEMPLATE, engine.model),
    version: "1.2.3",
    cache,
    maxPrefetchWaitMs: options.maxWaitMs,
    ...options.app,
  });
}
