import { expect, test } from "vitest";
import { TierError, UsageError, messageOf } from "../../../src/core/index.ts";

test("TierError names its tier, keeps a stable code and its cause", () => {
  const cause = new Error("ECONNREFUSED");
  const error = new TierError("RemoteBackend", "unavailable", "Cannot reach the peer", { cause });
  expect(error.message).toBe("RemoteBackend: Cannot reach the peer");
  expect(error).toMatchObject({
    name: "TierError",
    tier: "RemoteBackend",
    code: "unavailable",
    cause,
  });
});

test("UsageError tells which setting it is about", () => {
  expect(new UsageError("No", { param: "port" })).toMatchObject({ code: "usage", param: "port" });
});

test("messageOf() reads anything that was thrown", () => {
  expect([new Error("a"), "b", 3].map(messageOf)).toEqual(["a", "b", "3"]);
});
