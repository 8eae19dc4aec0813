import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { openInfinistoreRemote } from "../../src/remotes/infinistore/index.ts";
import { remoteTestOptions } from "../unit/remotes/remote-test-options.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

test("warmkv infinistore-server keeps values, within its bound, until SIGTERM", async () => {
  const args = ["infinistore-server", "--port", "0", "--max-local-cpu-size", "2MiB"];
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const exited = once(child, "exit");
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    const port = / Server started at 127\.0\.0\.1:(\d+)$/.exec(line)?.[1];
    await using store = openInfinistoreRemote(`infinistore://127.0.0.1:${port}`, remoteTestOptions);
    const call = { signal: new AbortController().signal, priority: "get" } as const;
    const value = Buffer.alloc(2 ** 20 - 1000, 7);
    for (const name of ["a", "b", "c"]) expect(await store.put(name, value, call)).toBe(true);
    const target = Buffer.alloc(value.byteLength);
    expect(await store.get("a", () => target, call)).toBeUndefined();
    expect(await store.lookup(["c"], call)).toBe(1);
    expect(await store.get("c", () => target, call)).toBe(value.byteLength);
    expect(target.equals(value)).toBe(true);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  } finally {
    child.kill("SIGKILL");
  }
});
