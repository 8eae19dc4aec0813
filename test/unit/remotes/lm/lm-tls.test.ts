import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type CacheServer,
  type ServerTls,
  openCacheServer,
} from "../../../../src/cache-server/index.ts";
import { openLmRemote } from "../../../../src/remotes/lm/index.ts";
import type { RemoteCall, RemoteStore } from "../../../../src/remotes/remote-store.ts";
import { type Certificates, makeCertificates } from "../../../e2e/redis/certificates.ts";
import { patternBytes } from "../../protocol/peer.ts";
import { getValue } from "../remote-conformance.ts";
import { lmOptions } from "./lm-options.ts";

const call: RemoteCall = { signal: new AbortController().signal, priority: "get" };
const unauthorized = expect.objectContaining({ name: "TierError", code: "unauthorized" });
const value = patternBytes(5_000_000);

describe("lm:// over TLS", () => {
  let directory: string;
  let certificates: Certificates;
  let cert: string;
  let key: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "warmkv-lm-tls-"));
    certificates = await makeCertificates(directory);
    cert = await readFile(certificates.certificateFile, "utf8");
    key = await readFile(certificates.keyFile, "utf8");
  });
  afterAll(() => rm(directory, { recursive: true }));

  const openServer = (tls: ServerTls): Promise<CacheServer> =>
    openCacheServer({
      port: 0,
      maxLocalCpuSizeBytes: 64 * 2 ** 20,
      cachePolicy: "LRU",
      localDiskPaths: [],
      maxLocalDiskSizeBytes: 0,
      tls,
    });

  async function expectToWork(remote: RemoteStore): Promise<void> {
    expect(await remote.put("a", value, call)).toBe(true);
    expect((await getValue(remote, "a"))?.equals(value)).toBe(true);
    expect(await remote.lookup(["a", "b"], call)).toBe(1);
  }

  test.each(["lms://127.0.0.1:PORT", "lm://127.0.0.1:PORT?tls=1"])("%s", async (url) => {
    await using server = await openServer({ cert, key });
    const tls = { ca: certificates.ca };
    await using remote = openLmRemote(url.replace("PORT", `${server.port}`), { ...lmOptions, tls });
    await expectToWork(remote);
  });

  test("a server whose certificate nobody vouches for is refused", async () => {
    await using server = await openServer({ cert, key });
    await using remote = openLmRemote(`lms://127.0.0.1:${server.port}`, lmOptions);
    await expect(remote.lookup(["a"], call)).rejects.toEqual(unauthorized);
  });

  test("a server that wants a certificate of its clients refuses those without", async () => {
    const { ca } = certificates;
    await using server = await openServer({ cert, key, ca });
    const url = `lms://127.0.0.1:${server.port}`;
    await using known = openLmRemote(url, { ...lmOptions, tls: { ca, cert, key } });
    await expectToWork(known);
    await using unknown = openLmRemote(url, { ...lmOptions, tls: { ca } });
    await expect(unknown.lookup(["a"], call)).rejects.toEqual(unauthorized);
  });

  test("plain and TLS do not meet", async () => {
    await using server = await openServer({ cert, key });
    await using plain = openLmRemote(`lm://127.0.0.1:${server.port}`, lmOptions);
    await expect(plain.lookup(["a"], call)).rejects.toMatchObject({ name: "TierError" });
  });
});
