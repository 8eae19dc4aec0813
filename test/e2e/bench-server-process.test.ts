import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ServerProcess, type ServerProcessOptions } from "../../src/bench/server-process.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-server-process-"));
});
afterAll(() => rm(directory, { recursive: true }));

let numScripts = 0;

async function start(
  source: string,
  options: Partial<ServerProcessOptions> = {},
): Promise<ServerProcess> {
  const script = join(directory, `server-${numScripts++}.mjs`);
  await writeFile(script, source);
  return ServerProcess.start({
    args: [],
    env: process.env,
    script,
    startTimeoutMs: 20_000,
    ...options,
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const LISTEN = `console.error("\\u001b[32mINFO\\u001b[39m Listening on http://127.0.0.1:4321"); setInterval(() => {}, 1000);`;

describe("ServerProcess", () => {
  test("is there once it says where it listens, and gone when it was stopped", async () => {
    const server = await start(`console.log("loading", process.argv[2]); ${LISTEN}`, {
      args: ["serve"],
    });
    expect(server.url).toBe("http://127.0.0.1:4321");
    expect(server.logLines).toEqual(["loading serve", "INFO Listening on http://127.0.0.1:4321"]);
    expect(isAlive(server.pid)).toBe(true);
    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
    await server.stop();
  });

  test("start() rejects with the end of the log when the process ends early", async () => {
    const starting = start(`console.error("no such model"); process.exit(2);`);
    await expect(starting).rejects.toThrow(
      /The server ended with code 2 before it listened\. Its log ended with:\n {2}no such model/,
    );
  });

  test("start() gives up on a silent process and ends it", async () => {
    const starting = start(`console.log(process.pid); setInterval(() => {}, 1000);`, {
      startTimeoutMs: 1500,
    });
    const error = await starting.then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error?.message).toContain("did not start in 1.5 s");
    const pid = Number(/\d+$/.exec(error!.message)![0]);
    expect(isAlive(pid)).toBe(false);
  });

  test("start() ends the process when its signal is aborted", async () => {
    const interruption = new AbortController();
    const starting = start(`setInterval(() => {}, 1000);`, { signal: interruption.signal });
    setImmediate(() => interruption.abort(new Error("Interrupted")));
    await expect(starting).rejects.toThrow("Interrupted");
  });

  test("stop() kills a process that does not end when asked", async () => {
    const server = await start(`process.on("SIGTERM", () => {}); ${LISTEN}`, {
      stopTimeoutMs: 200,
    });
    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
  });

  test("keeps the end of a long log only", async () => {
    const server = await start(`for (let i = 0; i < 5000; i++) console.log(i); ${LISTEN}`);
    await expect.poll(() => server.logLines).toContain("4999");
    expect(server.logLines.length).toBeLessThanOrEqual(2000);
    await server.stop();
  });
});
