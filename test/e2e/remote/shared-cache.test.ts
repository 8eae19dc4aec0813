import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const example = fileURLToPath(new URL("../../../examples/shared-cache/run.mjs", import.meta.url));

test("examples/shared-cache: the second engine loads what the first has computed", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [example, "synth:1m", "2000"], {
    env: withoutCacheSettings(),
    timeout: 120_000,
  });
  const [first, second] = [...stdout.matchAll(/ (\d+) prompt tokens, cached_tokens: (\d+)/g)].map(
    ([, numTokens, numCached]) => [Number(numTokens), Number(numCached)] as const,
  );
  expect(first![1]).toBe(0);
  expect(second).toEqual([first![0], first![0] - 1]);
  expect(stdout).toContain("the same answer: true");
  expect(stdout).toMatch(/ LMCache hit tokens: (\d+), need to load: \1\n/);
  expect(stdout).toMatch(/ Retrieved (\d+) out of \1 tokens /);
});

function withoutCacheSettings(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith("LMCACHE_"));
  return Object.fromEntries(entries);
}
