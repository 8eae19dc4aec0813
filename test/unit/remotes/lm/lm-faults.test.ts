import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TierError } from "../../../../src/core/index.ts";
import { lmReplyBytes } from "../../../../src/protocol/index.ts";
import { openLmRemote } from "../../../../src/remotes/lm/index.ts";
import { lmKeyOf } from "../../../../src/remotes/lm/lm-name.ts";
import type { RemoteCall, RemoteStore } from "../../../../src/remotes/remote-store.ts";
import { Peer, patternBytes } from "../../protocol/peer.ts";
import { getValue } from "../remote-conformance.ts";
import { type Fault, FaultyWay } from "./faulty-way.ts";
import { lmOptions } from "./lm-options.ts";
import { LmcacheServer } from "./lmcache-server.ts";

const never = new AbortController().signal;
const call: RemoteCall = { signal: never, priority: "get" };
const failed = (code: string) => expect.objectContaining({ name: "TierError", code });
const HEAD_BYTES = lmReplyBytes("current");
const value = patternBytes(300);

/** Time that passes by itself between calls, so that no call is refused for the failure of the one before. */
function patientOptions() {
  let nowMs = 0;
  const clock = { nowMs: () => (nowMs += 20_000), wallMs: () => nowMs };
  return { ...lmOptions, clock, maxConnections: 1, timeoutMs: 1000 };
}

describe("LmRemote on a bad way", () => {
  test("one byte at a time makes no difference", async () => {
    await using server = await LmcacheServer.listen();
    await using way = await FaultyWay.open(server.port);
    way.fault = "trickle";
    await using remote = openLmRemote(`lm://${way.host}`, lmOptions);
    expect(await remote.put("a", value, call)).toBe(true);
    expect(await remote.lookup(["a", "b"], call)).toBe(1);
    expect((await getValue(remote, "a"))?.equals(value)).toBe(true);
  });

  // Hello's answer does not come from this server: 36 bytes are HEALTH's, then each call's own.
  const stages = [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 2 * HEAD_BYTES - 1];
  const bodyStages = [2 * HEAD_BYTES, 2 * HEAD_BYTES + 1, 2 * HEAD_BYTES + 299];

  test.each(
    (["reset", "end", "freeze"] as const).flatMap((fault) =>
      [...stages, ...bodyStages].map((afterBytes) => [fault, afterBytes] as const),
    ),
  )(
    "%s after %i bytes ends every call in time, and the store goes on",
    async (fault, afterBytes) => {
      await using server = await LmcacheServer.listen();
      await using way = await FaultyWay.open(server.port);
      await using remote = openLmRemote(`lm://${way.host}`, patientOptions());
      expect(await remote.put("a", value, call)).toBe(true);
      Object.assign(way, { fault, afterBytes });
      // The pool's one connection has passed these bytes already: it is dropped first.
      await remote.get("a", () => undefined, call);
      for (const run of calls(remote)) {
        const signal = AbortSignal.timeout(40);
        await run({ signal, priority: "get" }).catch((error: unknown) => {
          if (!signal.aborted) expect(error).toBeInstanceOf(TierError);
        });
      }
      way.fault = undefined;
      expect((await getValue(remote, "a"))?.equals(value)).toBe(true);
      expect(await remote.lookup(["a", "c"], call)).toBe(1);
      await expect.poll(() => way.numOpen).toBeLessThanOrEqual(1);
    },
  );

  test.each(stages)("garbage after %i bytes is a protocol error or the end", async (afterBytes) => {
    await using server = await LmcacheServer.listen();
    await using way = await FaultyWay.open(server.port);
    await using remote = openLmRemote(`lm://${way.host}`, patientOptions());
    Object.assign(way, { fault: "garbage" satisfies Fault, afterBytes });
    for (const run of calls(remote)) {
      await run({ signal: AbortSignal.timeout(200), priority: "get" }).catch(() => {});
    }
    way.fault = undefined;
    expect(await remote.put("a", value, call)).toBe(true);
    expect((await getValue(remote, "a"))?.equals(value)).toBe(true);
  });

  test("another protocol's server is told from a cache server", async () => {
    await using peer = await Peer.listen((socket) => {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    await using remote = openLmRemote(`lm://127.0.0.1:${peer.port}`, lmOptions);
    await expect(remote.lookup(["a"], call)).rejects.toEqual(failed("protocol"));
  });

  test("a server that is frozen costs a call no more than its signal, and timeoutMs without one", async () => {
    await using peer = await Peer.listen((socket) => void socket.resume());
    await using remote = openLmRemote(`lm://127.0.0.1:${peer.port}`, {
      ...lmOptions,
      timeoutMs: 60,
    });
    const signal = AbortSignal.timeout(20);
    await expect(remote.lookup(["a"], { signal, priority: "lookup" })).rejects.toThrow("aborted");
    await expect(remote.lookup(["a"], call)).rejects.toEqual(failed("timeout"));
    // And then nothing, until it is time to try again.
    const startedMs = performance.now();
    await expect(remote.lookup(["a"], call)).rejects.toEqual(failed("timeout"));
    expect(performance.now() - startedMs).toBeLessThan(20);
    await expect.poll(() => peer.sockets.size).toBe(0);
  });

  test("one frozen server of several costs one lookup half a second, and then its share only", async () => {
    await using good = await LmcacheServer.listen();
    await using frozen = await LmcacheServer.listen();
    await using way = await FaultyWay.open(frozen.port);
    await using remote = openLmRemote(`lm://${good.host},${way.host}`, lmOptions);
    const names = Array.from({ length: 40 }, (_, index) => `chunk-${index}`);
    for (const name of names) expect(await remote.put(name, value, call)).toBe(true);
    const kept = names.filter((name) => good.values.has(lmKeyOf(name, "current")));
    const lost = names.findIndex((name) => !kept.includes(name));
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThan(names.length);
    const elapsed = async (run: () => Promise<unknown>): Promise<number> => {
      const startMs = performance.now();
      await run();
      return performance.now() - startMs;
    };

    way.fault = "stop";
    const lookup = async (): Promise<void> => expect(await remote.lookup(names, call)).toBe(lost);
    const firstMs = await elapsed(lookup);
    expect(firstMs).toBeGreaterThan(400);
    expect(firstMs).toBeLessThan(1000);
    const laterMs = await elapsed(async () => {
      for (let round = 0; round < 20; round++) {
        await lookup();
        expect(await remote.lookup(kept, call)).toBe(kept.length);
        expect(await getValue(remote, names[lost]!)).toBeUndefined();
        expect(await remote.put(names[lost]!, value, call)).toBe(false);
      }
    });
    expect(laterMs).toBeLessThan(400);

    way.fault = undefined;
    await expect.poll(() => remote.lookup(names, call), { timeout: 10_000 }).toBe(names.length);
  });

  test("of a server that is busy, a lookup waits for its turn a second at most, and it is not away", async () => {
    await using good = await LmcacheServer.listen();
    await using busy = await LmcacheServer.listen();
    await using way = await FaultyWay.open(busy.port);
    const said: string[] = [];
    const logger = { ...lmOptions.logger, warn: (line: string) => void said.push(line) };
    const options = { ...lmOptions, logger, maxConnections: 1 };
    await using remote = openLmRemote(`lm://${good.host},${way.host}`, options);
    const names = Array.from({ length: 40 }, (_, index) => `chunk-${index}`);
    for (const name of names) await remote.put(name, value, call);
    const lost = names.findIndex((name) => busy.values.has(lmKeyOf(name, "current")));

    way.fault = "stop";
    const stop = new AbortController();
    const getting = remote.get(names[lost]!, () => undefined, { ...call, signal: stop.signal });
    expect(await remote.lookup(names, call)).toBe(lost);
    expect(said).toEqual([]);
    stop.abort(new Error("Enough"));
    await expect(getting).rejects.toThrow("Enough");
    way.fault = undefined;
    expect(await remote.lookup(names, call)).toBe(names.length);
  });

  test("random faults at random places: right bytes, a miss or a TierError, and nothing left open", async () => {
    const faults = fc.constantFrom<Fault>("reset", "end");
    await using server = await LmcacheServer.listen();
    await using way = await FaultyWay.open(server.port);
    await fc.assert(
      fc.asyncProperty(faults, fc.nat({ max: 900 }), async (fault, afterBytes) => {
        await using remote = openLmRemote(`lm://${way.host}`, patientOptions());
        Object.assign(way, { fault, afterBytes });
        for (const run of [...calls(remote), ...calls(remote)]) {
          await run(call).catch((error: unknown) => expect(error).toBeInstanceOf(TierError));
        }
        way.fault = undefined;
        await remote.put("a", value, call);
        expect((await getValue(remote, "a"))?.equals(value)).toBe(true);
      }),
      { numRuns: 25 },
    );
    await expect.poll(() => way.numOpen).toBe(0);
  });

  test("random replies: an answer or a TierError, never more memory than was announced", async () => {
    let reply: Uint8Array = new Uint8Array(0);
    await using peer = await Peer.listen((socket) => {
      socket.once("data", () => {
        socket.write(reply);
        socket.once("data", () => socket.end(reply));
      });
    });
    await using remote = openLmRemote(`lm://127.0.0.1:${peer.port}?form=2025`, patientOptions());
    const replies = fc.tuple(
      fc.constantFrom(200, 200, 200, 400, 401, 507, 0, -1),
      fc.nat({ max: 64 }),
      fc.uint8Array({ minLength: 24, maxLength: 24 }),
      fc.uint8Array({ maxLength: 64 }),
    );
    await fc.assert(
      fc.asyncProperty(replies, async ([code, byteLength, rest, body]) => {
        const head = Buffer.alloc(8);
        head.writeInt32LE(code);
        head.writeInt32LE(byteLength, 4);
        reply = Buffer.concat([head, rest, body]);
        let askedBytes = 0;
        const allocate = (length: number): Uint8Array => new Uint8Array((askedBytes = length));
        const found = await remote.get("a", allocate, call).catch((error: unknown) => {
          expect(error).toBeInstanceOf(TierError);
        });
        if (found !== undefined) expect(found).toBe(byteLength);
        expect([0, byteLength]).toContain(askedBytes);
      }),
      { numRuns: 200 },
    );
  });
});

function calls(remote: RemoteStore): readonly ((own: RemoteCall) => Promise<unknown>)[] {
  return [
    (own) => remote.lookup(["a", "b"], own),
    (own) => remote.put("b", value, own),
    async (own) => {
      const found = await getValue(remote, "a", own);
      if (found !== undefined) expect(found.equals(value)).toBe(true);
    },
  ];
}
