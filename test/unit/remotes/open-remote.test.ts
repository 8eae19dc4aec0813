import { expect, test } from "vitest";
import { REMOTE_SCHEMES } from "../../../src/config/index.ts";
import { UsageError, silentLogger, systemClock } from "../../../src/core/index.ts";
import { openRemote, remoteSchemes } from "../../../src/remotes/index.ts";

const options = {
  timeoutMs: 1_000,
  maxConnections: 4,
  logger: silentLogger,
  clock: systemClock,
  random: Math.random,
};

test("the schemes that settings may name are those that can be opened", () => {
  expect(remoteSchemes.toSorted()).toEqual(REMOTE_SCHEMES.toSorted());
});

test("openRemote() opens by scheme, in any case", async () => {
  await using remote = await openRemote("BlackHole://", options);
  expect(remote.address).toBe("blackhole://");
});

test.each(["memcached://:hunter2@host", "localhost:65432", "constructor://x", ""])(
  "%j is refused by a sentence that names the schemes and shows no secret",
  async (url) => {
    const opening = openRemote(url, options);
    await expect(opening).rejects.toBeInstanceOf(UsageError);
    await expect(opening).rejects.toThrow(/: wanted one of .*lm, .*redis/);
    await expect(opening).rejects.not.toThrow(/hunter2/);
  },
);

test.each([
  ["lm://host:65432", "lm://host:65432"],
  ["lms://token-of-ours@a:1,b:2", "lms://a:1,b:2"],
  ["redis://user:hunter2@host:6379/1", "redis://host:6379/1"],
  ["rediss-cluster://:hunter2@a:1,b:2", "rediss-cluster://a:1,b:2"],
  ["valkey://host", "valkey://host"],
  ["unix:///run/redis.sock", "unix:///run/redis.sock"],
  ["fs:///mnt/kv", "fs:///mnt/kv"],
  ["mock://", "mock://"],
])("%s is opened without a connection, and shown as %s", async (url, address) => {
  await using remote = await openRemote(url, options);
  expect(remote.address).toBe(address);
});

test("a Valkey may be told of in LMCache's extra_config, where nonsense is refused", async () => {
  const open = (extraConfig: Record<string, unknown>): Promise<AsyncDisposable> =>
    openRemote("valkey://host", { ...options, extraConfig });
  await using _ = await open({ valkey_username: "u", valkey_database: "2", valkey_ttl_sec: 60 });
  await expect(open({ valkey_ttl_sec: 0 })).rejects.toThrow(
    'Cannot use valkey_ttl_sec "0": wanted a whole number of at least 1',
  );
  await expect(open({ valkey_database: "x" })).rejects.toBeInstanceOf(UsageError);
  await expect(open({ valkey_username: {} })).rejects.toThrow("wanted text");
});
