import { inspect } from "node:util";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { remoteConformance } from "../../unit/remotes/remote-conformance.ts";
import { type Certificates, makeCertificates } from "./certificates.ts";
import { callWithin, openRemote } from "./open-remote.ts";
import { FLAVOURS, missing } from "./programs.ts";
import { RedisServer } from "./redis-server.ts";

describe.each(FLAVOURS)("%s", (flavour) => {
  const { isMissing, note } = missing(flavour);

  describe.skipIf(isMissing)(`one server${note}`, () => {
    let server: RedisServer;
    beforeAll(async () => {
      server = await RedisServer.start({ flavour });
    });
    afterAll(() => server[Symbol.asyncDispose]());

    remoteConformance(
      `${flavour}://`,
      async () => {
        await server.call("FLUSHALL");
        const open = (): ReturnType<typeof openRemote> =>
          openRemote(`${flavour}://127.0.0.1:${server.port}`);
        return { store: open(), openAnother: async () => open() };
      },
      { canClaim: true },
    );

    test("a Unix socket and another database hold values of their own", async () => {
      await using first = openRemote(`unix://${server.socketPath}`);
      await using second = openRemote(`redis+unix://${server.socketPath}?db=1`);
      await first.put("in the first", Buffer.from("1"), callWithin());
      await second.put("in the second", Buffer.from("2"), callWithin());
      expect(await first.lookup(["in the first"], callWithin())).toBe(1);
      expect(await second.lookup(["in the first"], callWithin())).toBe(0);
      expect(await second.lookup(["in the second"], callWithin())).toBe(1);
    });

    test("a time to live ends a value with all its stripes", async () => {
      await server.call("FLUSHALL");
      await using store = openRemote(`redis://127.0.0.1:${server.port}`, { ttlSeconds: 100 });
      await store.put("value", Buffer.alloc(9_000_000), callWithin());
      const keys = (await server.call("KEYS", "*")) as string[];
      expect(keys.toSorted()).toEqual(["{warmkv:value}", "{warmkv:value}:1", "{warmkv:value}:2"]);
      const seconds = await Promise.all(keys.toSorted().map((key) => server.call("TTL", key)));
      expect(seconds[0]).toBeGreaterThan(90);
      expect(seconds[0]).toBeLessThanOrEqual(100);
      for (const stripe of seconds.slice(1)) expect(stripe).toBeGreaterThan(150);
    });
  });

  describe.skipIf(isMissing)(`TLS and access rules${note}`, () => {
    let directory: string;
    let certificates: Certificates;
    let server: RedisServer;
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "warmkv-tls-"));
      certificates = await makeCertificates(directory);
      server = await RedisServer.start({
        flavour,
        isTls: true,
        settings: {
          "tls-cert-file": certificates.certificateFile,
          "tls-key-file": certificates.keyFile,
          "tls-ca-cert-file": certificates.caFile,
          "tls-auth-clients": "no",
        },
        admin: { username: "admin", password: "adm1n" },
        configuration: [
          "user admin on >adm1n ~* &* +@all",
          "user kv on >p@ss ~{warmkv:* +exists +get +getrange +set +persist +expire +unlink",
          "user default off",
        ].join("\n"),
      });
    });
    afterAll(async () => {
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    });
    const url = (credentials: string): string => `rediss://${credentials}127.0.0.1:${server.port}`;

    remoteConformance(
      "rediss:// with a user who may do nothing else",
      async () => {
        await server.call("FLUSHALL");
        return { store: openRemote(url("kv:p%40ss@"), { tls: { ca: certificates.ca } }) };
      },
      { canClaim: true },
    );

    test.each([
      ["a wrong password", "kv:wr0ng@", true],
      ["no password", "", true],
      ["a certificate of an unknown authority", "kv:wr0ng@", false],
    ])("%s is refused, and no message has the password", async (_, credentials, isKnown) => {
      const tls = isKnown ? { ca: certificates.ca } : {};
      await using store = openRemote(url(credentials), { tls });
      const failure = await store.lookup(["a"], callWithin()).catch((error: unknown) => error);
      expect(failure).toMatchObject({ name: "TierError", code: "unauthorized" });
      expect(inspect(failure, { depth: 9 })).not.toContain("wr0ng");
    });

    test("TLS with a server that speaks none, and none with one that does, end in good time", async () => {
      await using plain = await RedisServer.start({ flavour });
      await using tlsToPlain = openRemote(`rediss://127.0.0.1:${plain.port}`, { timeoutMs: 300 });
      await using plainToTls = openRemote(`redis://127.0.0.1:${server.port}`, {
        timeoutMs: 300,
      });
      for (const store of [tlsToPlain, plainToTls]) {
        await expect(store.lookup(["a"], callWithin(3000))).rejects.toMatchObject({
          name: "TierError",
        });
      }
    });
  });
});
