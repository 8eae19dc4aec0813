import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestEngine } from "../engine/engines.ts";
import { CacheServerProcess } from "./cache-server-process.ts";
import { Clients, NUM_CLIENTS, close, openEngineWith } from "./clients.ts";
import { type Fault, FaultProxy } from "./fault-proxy.ts";

let server: CacheServerProcess;
let proxy: FaultProxy;
let engine: TestEngine;
let clients: Clients;

beforeAll(async () => {
  clients = await Clients.start();
  server = await CacheServerProcess.start();
  proxy = await FaultProxy.start(server.port);
  engine = await openEngineWith(`lm://127.0.0.1:${proxy.port}`);
});
afterAll(async () => {
  await close(engine);
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const ask = (): Promise<number[]> => clients.ask(engine);
const becomeWarm = (): Promise<void> => clients.becomeWarm(engine);

describe(`a cache server that ${NUM_CLIENTS} clients need`, () => {
  const faults: readonly [string, Fault][] = [
    ["refuses connections", { kind: "refuse" }],
    ["accepts and never answers", { kind: "freeze" }],
    ["answers with 1 MB/s", { kind: "slow", bytesPerSecond: 1e6 }],
    ["answers with a wrong byte in each KB", { kind: "corrupt", everyBytes: 1_000 }],
    ["answers with a wrong byte in each 50 KB", { kind: "corrupt", everyBytes: 50_000 }],
    ["closes before it answers", { kind: "half", numBytes: 0 }],
    ["closes within the head of its answer", { kind: "half", numBytes: 20 }],
    ["closes within the body of its answer", { kind: "half", numBytes: 50_000 }],
    ["resets when it is asked", { kind: "reset", after: "request", numBytes: 0 }],
    ["resets within a question", { kind: "reset", after: "request", numBytes: 200 }],
    [
      "resets within a body that it is given",
      { kind: "reset", after: "request", numBytes: 50_000 },
    ],
    ["resets before it answers", { kind: "reset", after: "answer", numBytes: 0 }],
    ["resets within the body of its answer", { kind: "reset", after: "answer", numBytes: 50_000 }],
  ];

  test("answers as it should", becomeWarm);

  test.each(faults)("%s: requests succeed, and are warm again afterwards", async (_, fault) => {
    await proxy.set(fault);
    await ask();
    await ask();
    await proxy.set({ kind: "none" });
    await becomeWarm();
  });

  test("is frozen: requests succeed, and are warm again when it goes on", async () => {
    server.signal("SIGSTOP");
    await ask();
    expect(await ask()).toEqual(clients.numCachedWhenCold);
    server.signal("SIGCONT");
    await becomeWarm();
  });

  test("is frozen while requests run", async () => {
    const asked = ask();
    await new Promise((resolve) => setTimeout(resolve, 20));
    server.signal("SIGSTOP");
    await asked;
    server.signal("SIGCONT");
    await becomeWarm();
  });

  test("is killed, and comes back with nothing: requests succeed, and are warm again", async () => {
    const asked = ask();
    await server[Symbol.asyncDispose]();
    await asked;
    expect(await ask()).toEqual(clients.numCachedWhenCold);
    server = await CacheServerProcess.start(server.port);
    await becomeWarm();
  });
});

test("a server whose name nobody knows costs nothing but the hits", async () => {
  await using lonely = await openEngineWith("lm://no-such-host.invalid:65432");
  for (let round = 0; round < 2; round++) {
    expect(await clients.ask(lonely)).toEqual(clients.numCachedWhenCold);
  }
});
