import { EventEmitter } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { firstSignal } from "../../../src/cli/shutdown.ts";

describe("firstSignal()", () => {
  it("resolves at the first signal and calls back at every later one", async () => {
    const source = new EventEmitter();
    const onSecond = vi.fn();
    const signal = firstSignal(source, onSecond);
    source.emit("SIGTERM", "SIGTERM");
    expect(await signal).toBe("SIGTERM");
    expect(onSecond).not.toHaveBeenCalled();
    source.emit("SIGINT", "SIGINT");
    expect(onSecond).toHaveBeenCalledOnce();
  });
});
