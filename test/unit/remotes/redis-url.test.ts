import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { parseRedisUrl } from "../../../src/remotes/redis/redis-url.ts";

describe("parseRedisUrl()", () => {
  test.each([
    ["redis://cache", { topology: "single", nodes: [{ host: "cache", port: 6379 }], isTls: false }],
    ["redis://cache:7000/3", { nodes: [{ host: "cache", port: 7000 }], database: 3 }],
    ["redis://cache/?db=4", { database: 4 }],
    ["rediss://cache", { isTls: true }],
    ["redis://cache?ttl_sec=86400", { ttlSeconds: 86_400, database: 0 }],
    ["valkey://10.0.0.1:6380", { nodes: [{ host: "10.0.0.1", port: 6380 }] }],
    ["valkeys://cache", { isTls: true }],
    ["redis://[::1]:7000", { nodes: [{ host: "::1", port: 7000 }] }],
    ["redis://kv:p%40ss%2F@cache", { username: "kv", password: "p@ss/", display: "redis://cache" }],
    [
      "redis://:p@ss@cache:1",
      { username: undefined, password: "p@ss", display: "redis://cache:1" },
    ],
    ["redis://kv@cache", { username: "kv", password: undefined }],
    [
      "redis-sentinel://:pw@s1,s2:7000/1?service_name=kv",
      {
        topology: "sentinel",
        nodes: [
          { host: "s1", port: 26379 },
          { host: "s2", port: 7000 },
        ],
        database: 1,
        masterName: "kv",
        display: "redis-sentinel://s1,s2:7000/1?service_name=kv",
      },
    ],
    [
      "rediss-cluster://a:1,b:2",
      {
        topology: "cluster",
        nodes: [
          { host: "a", port: 1 },
          { host: "b", port: 2 },
        ],
        isTls: true,
      },
    ],
    ["unix:///run/redis.sock", { topology: "single", nodes: [{ path: "/run/redis.sock" }] }],
    [
      "unix://kv:pw@/run/a b.sock?db=2",
      { username: "kv", nodes: [{ path: "/run/a b.sock" }], database: 2 },
    ],
    ["redis+unix:///run/valkey%20.sock", { nodes: [{ path: "/run/valkey .sock" }] }],
  ])("reads %s", (url, wanted) => {
    expect(parseRedisUrl(url)).toMatchObject(wanted);
  });

  test.each([
    [
      "http://cache",
      'Cannot use "http://cache" as the address of a Redis or Valkey: wanted a scheme',
    ],
    ["redis://:secret@", 'instead of ""'],
    ["redis://:secret@cache:0", 'instead of "cache:0"'],
    ["redis://:secret@cache:99999", "a port of 1 to 65535"],
    ["redis://:secret@cache/x", 'a number as the database instead of "x"'],
    ["redis://:secret@cache?ttl=1", 'instead of the parameter "ttl"'],
    ["redis://:secret@cache?ttl_sec=0", 'as ttl_sec instead of "0"'],
    ["redis://:secret@a,b", "several hosts need"],
    ["unix://:secret@relative.sock", "an absolute path"],
    ["rediss+unix:///x", "TLS is not spoken"],
    ["redis://:secret%zz@cache", "%25"],
  ])("refuses %s, and does not show the password", (url, wanted) => {
    const parse = (): unknown => parseRedisUrl(url);
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(wanted);
    expect(parse).not.toThrow(/secret/);
  });
});
