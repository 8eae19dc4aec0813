import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatBytes } from "../core/index.ts";
import { formatCount, formatMs } from "./format.ts";
import type { QueryTwiceReport } from "./query-twice-report.ts";
import { DEFAULT_MODEL } from "./bench-server.ts";

/** A disk tier that is gone with the demo. */
export interface DemoCaches extends AsyncDisposable {
  readonly env: NodeJS.ProcessEnv;
}

/** The settings of a server with a CPU and a disk tier, as LMCache's variables; the caller's own win. */
export async function demoEnvironment(env: NodeJS.ProcessEnv): Promise<DemoCaches> {
  const directory = await mkdtemp(join(tmpdir(), "warmkv-demo-"));
  return {
    env: {
      LMCACHE_LOCAL_CPU: "True",
      LMCACHE_LOCAL_DISK: `file://${directory}/`,
      LMCACHE_MAX_LOCAL_DISK_SIZE: "2",
      ...env,
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** Said before the wait begins. */
export function demoIntroduction(numPromptTokens: number): string {
  return [
    `One prompt of ${formatCount(numPromptTokens)} tokens, sent twice to "warmkv serve ${DEFAULT_MODEL}", with CPU RAM and disk as caches.`,
    "The model's weights are random: what it says is noise, what it computes takes as long as any other.",
    "",
  ].join("\n");
}

/** A few lines for somebody who saw these numbers for the first time. */
export function demoExplanation(report: QueryTwiceReport): string {
  const { rounds, coldTtftMs, warmTtftMs, numHitTokens, floor } = report;
  const numPromptTokens = rounds[0]!.numPromptTokens;
  const kv = floor ? ` (${formatBytes(floor.kvBytes)})` : "";
  return [
    "What happened",
    `  The first request had to compute the KV cache of all ${formatCount(numPromptTokens)} tokens: ${formatMs(coldTtftMs.median)}.`,
    `  While it did, the server copied that KV${kv} out of the engine into pinned CPU RAM and onto`,
    "  the disk, in chunks named by a hash of the tokens before them.",
    `  The second request found ${formatCount(numHitTokens ?? 0)} of its tokens there, loaded them instead of computing them,`,
    `  computed the last one, and answered after ${formatMs(warmTtftMs.median)}.`,
    "  Any prompt that begins with the same text gains as much, whatever follows it.",
  ].join("\n");
}
