import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ConnectionError,
  ConnectionPool,
  type ConnectionPoolOptions,
  REMOTE_PRIORITIES,
  type RemotePriority,
} from "../../../src/protocol/index.ts";

const never = new AbortController().signal;
const gone = (): Error => new ConnectionError("unavailable", "gone");
const failed = (code: string) => expect.objectContaining({ name: "ConnectionError", code });

class FakeConnection implements Disposable {
  isBroken = false;
  numBytesReceived = 0;
  [Symbol.dispose](): void {
    this.isBroken = true;
  }
}

/** A server that can be away, and a clock that only moves by hand. */
class World {
  readonly connections: FakeConnection[] = [];
  numAttempts = 0;
  isAway = false;
  nowMs = 0;

  pool(
    options: Partial<ConnectionPoolOptions<FakeConnection>> = {},
  ): ConnectionPool<FakeConnection> {
    return new ConnectionPool<FakeConnection>({
      connect: async () => {
        this.numAttempts++;
        await setImmediate();
        if (this.isAway) throw gone();
        const connection = new FakeConnection();
        this.connections.push(connection);
        return connection;
      },
      maxConnections: 2,
      maxWaiting: 10,
      idleMs: 60_000,
      clock: { nowMs: () => this.nowMs, wallMs: () => this.nowMs },
      random: () => 1,
      ...options,
    });
  }

  get numOpen(): number {
    return this.connections.filter(({ isBroken }) => !isBroken).length;
  }
}

/** Occupies a connection until `end()`. */
function occupy(
  pool: ConnectionPool<FakeConnection>,
  priority: RemotePriority,
  signal = never,
): { readonly done: Promise<void>; end(): void; readonly isRunning: boolean } {
  let isRunning = false;
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  const done = pool.use(priority, signal, async () => {
    isRunning = true;
    await ended;
    isRunning = false;
  });
  done.catch(() => {});
  return {
    done,
    end,
    get isRunning() {
      return isRunning;
    },
  };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

describe("ConnectionPool", () => {
  test("one exchange after the other uses one connection", async () => {
    const world = new World();
    await using pool = world.pool();
    for (let call = 0; call < 5; call++) await pool.use("get", never, async () => {});
    expect(world.connections).toHaveLength(1);
    expect(pool).toMatchObject({ numIdle: 1, numInUse: 0, numWaiting: 0 });
  });

  test("exchanges at the same time have a connection each, up to maxConnections", async () => {
    const world = new World();
    await using pool = world.pool({ maxConnections: 3 });
    const calls = Array.from({ length: 5 }, () => occupy(pool, "get"));
    await settle();
    expect(calls.filter(({ isRunning }) => isRunning)).toHaveLength(3);
    expect(pool.numWaiting).toBe(2);
    for (const { end } of calls) end();
    await Promise.all(calls.map(({ done }) => done));
    expect(world.connections).toHaveLength(3);
  });

  test("waiters are served in the order of their priorities, then first come first served", async () => {
    const world = new World();
    await using pool = world.pool({ maxConnections: 1 });
    const first = occupy(pool, "get");
    const order: string[] = [];
    const waiters = (["put", "get", "lookup", "get", "prefetch", "lookup"] as const).map(
      (priority, index) => pool.use(priority, never, async () => void order.push(priority + index)),
    );
    first.end();
    await Promise.all(waiters);
    expect(order).toEqual(["lookup2", "lookup5", "get1", "get3", "prefetch4", "put0"]);
  });

  test.each(["put", "prefetch"] as const)("%s leaves one connection free", async (priority) => {
    const world = new World();
    await using pool = world.pool({ maxConnections: 3 });
    const puts = Array.from({ length: 4 }, () => occupy(pool, priority));
    await settle();
    expect(puts.map(({ isRunning }) => isRunning)).toEqual([true, true, false, false]);
    expect(await pool.use("lookup", never, async () => 7)).toBe(7);
    for (const { end } of puts) end();
    await Promise.all(puts.map(({ done }) => done));
  });

  test("one waiter too many turns away the least urgent that came last", async () => {
    const world = new World();
    await using pool = world.pool({ maxConnections: 1, maxWaiting: 2 });
    const running = occupy(pool, "get");
    const [early, late] = [occupy(pool, "put"), occupy(pool, "put")];
    const lookup = occupy(pool, "lookup");
    await expect(late.done).rejects.toEqual(failed("unavailable"));
    const refused = occupy(pool, "put");
    await expect(refused.done).rejects.toEqual(failed("unavailable"));
    for (const call of [running, lookup, early]) {
      call.end();
      await call.done;
    }
  });

  test("an exchange that rejects costs its connection", async () => {
    const world = new World();
    await using pool = world.pool();
    const failure = new Error("half an answer");
    await expect(pool.use("get", never, () => Promise.reject(failure))).rejects.toBe(failure);
    expect(world.numOpen).toBe(0);
    await pool.use("get", never, async () => {});
    expect(world.connections).toHaveLength(2);
  });

  test("an abort ends an exchange that hangs, and costs its connection", async () => {
    const world = new World();
    await using pool = world.pool();
    const abort = new AbortController();
    const call = occupy(pool, "get", abort.signal);
    await settle();
    const reason = new Error("enough");
    abort.abort(reason);
    await expect(call.done).rejects.toBe(reason);
    expect(world.numOpen).toBe(0);
    expect(pool.numInUse).toBe(0);
  });

  test("an abort takes a waiter out of the queue", async () => {
    const world = new World();
    await using pool = world.pool({ maxConnections: 1 });
    const running = occupy(pool, "get");
    const abort = new AbortController();
    const waiting = occupy(pool, "get", abort.signal);
    abort.abort();
    await expect(waiting.done).rejects.toThrow();
    expect(pool.numWaiting).toBe(0);
    running.end();
    await running.done;
  });

  test("an idle connection known to be broken is not used", async () => {
    const world = new World();
    await using pool = world.pool();
    await pool.use("get", never, async () => {});
    world.connections[0]!.isBroken = true;
    await pool.use("get", never, async (connection) => expect(connection.isBroken).toBe(false));
  });

  test("an idle connection that turns out to be closed is replaced without a word", async () => {
    const world = new World();
    await using pool = world.pool();
    await pool.use("get", never, async () => {});
    let numRuns = 0;
    const answer = await pool.use("get", never, async (connection) => {
      numRuns++;
      if (connection === world.connections[0]) throw gone();
      return 42;
    });
    expect([answer, numRuns]).toEqual([42, 2]);
  });

  test.each(["some of a reply had come", "the connection was fresh"])(
    "an exchange is not run again when %s",
    async (when) => {
      const world = new World();
      await using pool = world.pool();
      if (when.startsWith("some")) await pool.use("get", never, async () => {});
      let numRuns = 0;
      const call = pool.use("get", never, async (connection) => {
        numRuns++;
        connection.numBytesReceived += when.startsWith("some") ? 1 : 0;
        throw gone();
      });
      await expect(call).rejects.toEqual(failed("unavailable"));
      expect(numRuns).toBe(1);
    },
  );

  test("after a failed connect calls fail at once, then one tries again: recovery without a restart", async () => {
    const world = new World();
    await using pool = world.pool();
    const call = (): Promise<void> => pool.use("get", never, async () => {});
    world.isAway = true;
    const delaysMs: number[] = [];
    for (let failure = 0; failure < 10; failure++) {
      const startMs = world.nowMs;
      const numBefore = world.numAttempts;
      while (world.numAttempts === numBefore) {
        await expect(call()).rejects.toEqual(failed("unavailable"));
        world.nowMs += 10;
      }
      delaysMs.push(world.nowMs - startMs - 10);
    }
    expect(delaysMs).toEqual([0, 90, 190, 390, 790, 1590, 3190, 6390, 9990, 9990]);
    world.isAway = false;
    await expect(call()).rejects.toEqual(failed("unavailable"));
    world.nowMs += 10_000;
    await call();
  });

  test("a connect that was given up after a long time counts as failed, after a short one it does not", async () => {
    const world = new World();
    const connect = (signal: AbortSignal): Promise<FakeConnection> => {
      world.numAttempts++;
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason)),
      );
    };
    await using pool = world.pool({ connect });
    for (const [waitMs, numAttempts] of [
      [100, 1],
      [600, 2],
    ] as const) {
      const abort = new AbortController();
      const call = pool.use("get", abort.signal, async () => {});
      call.catch(() => {});
      world.nowMs += waitMs;
      abort.abort();
      await expect(call).rejects.toThrow();
      expect(world.numAttempts).toBe(numAttempts);
    }
    await expect(pool.use("get", never, async () => {})).rejects.toEqual(failed("timeout"));
    expect(world.numAttempts).toBe(2);
  });

  test("the delay has jitter", async () => {
    const world = new World();
    await using pool = world.pool({ random: () => 0 });
    world.isAway = true;
    await expect(pool.use("get", never, async () => {})).rejects.toThrow();
    world.nowMs += 49;
    await expect(pool.use("get", never, async () => {})).rejects.toThrow();
    expect(world.numAttempts).toBe(1);
    world.nowMs += 1;
    await expect(pool.use("get", never, async () => {})).rejects.toThrow();
    expect(world.numAttempts).toBe(2);
  });

  test("a connection that nobody uses is closed", async () => {
    const world = new World();
    await using pool = world.pool({
      idleMs: 20,
      clock: { nowMs: () => performance.now(), wallMs: () => 0 },
    });
    await pool.use("get", never, async () => {});
    await expect.poll(() => world.numOpen).toBe(0);
    expect(pool.numIdle).toBe(0);
  });

  test("disposing ends what runs and what waits, and leaves nothing open", async () => {
    const world = new World();
    const pool = world.pool({ maxConnections: 2 });
    const calls = Array.from({ length: 4 }, () => occupy(pool, "get"));
    await settle();
    await pool[Symbol.asyncDispose]();
    for (const { done } of calls) await expect(done).rejects.toEqual(failed("closed"));
    await expect(pool.use("get", never, async () => {})).rejects.toEqual(failed("closed"));
    expect(world.numOpen).toBe(0);
    expect(pool).toMatchObject({ numIdle: 0, numInUse: 0, numWaiting: 0 });
  });

  test("random traffic: never too many connections, none used twice at a time, none left over", async () => {
    const call = fc.record({
      priority: fc.constantFrom(...REMOTE_PRIORITIES),
      outcome: fc.constantFrom("answer", "answer", "answer", "fail", "hang", "away"),
      numTurns: fc.nat({ max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 30 }), async (calls) => {
        const world = new World();
        const pool = world.pool({ maxConnections: 3 });
        const inUse = new Set<FakeConnection>();
        const run = calls.map(async ({ priority, outcome, numTurns }, index) => {
          for (let turn = 0; turn < index % 4; turn++) await setImmediate();
          world.nowMs += 50;
          world.isAway = outcome === "away";
          const abort = new AbortController();
          const answer = pool.use(priority, abort.signal, async (connection) => {
            expect(inUse.has(connection)).toBe(false);
            inUse.add(connection);
            expect(inUse.size).toBeLessThanOrEqual(3);
            try {
              for (let turn = 0; turn < numTurns; turn++) await setImmediate();
              if (outcome === "fail") throw new Error("failed");
            } finally {
              inUse.delete(connection);
            }
            if (outcome === "hang") await new Promise(() => {});
          });
          answer.catch(() => {});
          if (outcome === "hang") for (let turn = 0; turn < 12; turn++) await setImmediate();
          if (outcome === "hang") abort.abort();
          await answer;
        });
        await Promise.allSettled(run);
        expect(pool).toMatchObject({ numInUse: 0, numWaiting: 0 });
        expect(world.numOpen).toBe(pool.numIdle);
        await pool[Symbol.asyncDispose]();
        expect(world.numOpen).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
