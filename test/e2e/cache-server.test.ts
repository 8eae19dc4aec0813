import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GiB, MiB } from "../../src/core/index.ts";
import {
  Connection,
  LM_COMMANDS,
  decodeLmReply,
  encodeLmRequest,
  lmRequest,
} from "../../src/protocol/index.ts";
import { RawClient, frame, putFrame } from "../unit/cache-server/raw-client.ts";
import { CacheServerProcess, runToEnd } from "./cache-server-process.ts";
import { type Certificates, makeCertificates } from "./redis/certificates.ts";

/** What a process may take beside its pool. */
const ALLOWANCE_BYTES = 100_000_000;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-cache-server-"));
});
afterAll(() => rm(directory, { recursive: true }));

const running: CacheServerProcess[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop("SIGKILL");
});

async function start(...args: string[]): Promise<CacheServerProcess> {
  const server = await CacheServerProcess.start(...args);
  running.push(server);
  return server;
}

describe("warmkv cache-server", () => {
  test("starts like lmcache_server, ends at SIGTERM with 0, and has its values again", async () => {
    const disk = path.join(directory, "restart");
    const args = ["localhost", "0", "cpu", "--max-local-cpu-size", "64Mi"];
    args.push("--local-disk", disk, "--max-local-disk-size", "1");
    const first = await start(...args);
    {
      using client = await RawClient.connect(first.port);
      for (let index = 0; index < 5; index++) {
        await client.send(putFrame(`k${index}`, Buffer.alloc(MiB, index)));
      }
      await client.ask(frame("health", ""));
      expect(await first.stop()).toBe(0);
      await client.closed();
    }
    const second = await start(...args);
    using client = await RawClient.connect(second.port);
    for (let index = 0; index < 5; index++) {
      const { body } = await client.ask(frame("get", `k${index}`));
      expect(body.equals(Buffer.alloc(MiB, index))).toBe(true);
    }
  });

  test("lets a transfer under way end before it ends", async () => {
    const disk = path.join(directory, "transfer");
    const args = ["--port", "0", "--max-local-cpu-size", "64Mi", "--http-port", "0"];
    args.push("--local-disk", disk, "--max-local-disk-size", "1");
    const server = await start(...args);
    using client = await RawClient.connect(server.port);
    const value = putFrame("k", Buffer.alloc(MiB, 7));
    await client.send(value.subarray(0, 1000));
    await expect
      .poll(async () => ((await (await fetch(`${server.httpUrl}/stats`)).json()) as Stats).pool)
      .toMatchObject({ incomingBytes: MiB + 4096 });
    const stopped = server.stop();
    await expect.poll(async () => (await fetch(`${server.httpUrl}/ready`)).status).toBe(503);
    await client.send(value.subarray(1000));
    expect(await stopped).toBe(0);
    using other = await RawClient.connect((await start(...args)).port);
    expect((await other.ask(frame("get", "k"))).body.equals(Buffer.alloc(MiB, 7))).toBe(true);
  });

  test.each([
    [["--port", "70000"], "whole number from 0 to 65535"],
    [["--max-local-cpu-size", "lots"], 'max_local_cpu_size "lots"'],
    [["--cache-policy", "best"], 'cache_policy "best"'],
    [["--local-disk", "/tmp/kv"], "without --max-local-disk-size"],
    [["localhost", "0", "gpu"], 'Unsupported device "gpu"'],
    [["--tls-cert", "cert.pem"], "both --tls-cert and --tls-key"],
    [["--tls-cert", "/no/cert", "--tls-key", "/no/key"], 'Cannot read --tls-cert "/no/cert"'],
    [["--auth-token", ""], "empty auth token"],
  ])("%j is refused in a sentence, with 2", async (args, sentence) => {
    const { code, stderr } = await runToEnd([...args, "--http-port", "0"]);
    expect(stderr).toContain(sentence);
    expect(code).toBe(2);
  });

  test("takes and gives a value of 1 GiB within its bound", async () => {
    const poolBytes = GiB + 64 * MiB;
    const server = await start("--port", "0", "--max-local-cpu-size", `${poolBytes}b`);
    using connection = await Connection.connect({
      port: server.port,
      timeoutMs: 60_000,
      signal: new AbortController().signal,
    });
    const part = Buffer.alloc(4 * MiB);
    part.forEach((_, index) => (part[index] = index * 7));
    const ask = async (command: number): Promise<number> => {
      await connection.write([encodeLmRequest(lmRequest(command, "huge"))]);
      const head = Buffer.alloc(36);
      await connection.readInto(head);
      return decodeLmReply(head).byteLength;
    };
    await connection.write([
      encodeLmRequest(lmRequest(LM_COMMANDS.put, "huge", { byteLength: GiB })),
    ]);
    for (let sent = 0; sent < GiB; sent += part.byteLength) await connection.write([part]);
    expect(await ask(LM_COMMANDS.exist)).toBe(0);
    expect(await ask(LM_COMMANDS.get)).toBe(GiB);
    const received = Buffer.alloc(part.byteLength);
    for (let numBytes = 0; numBytes < GiB; numBytes += received.byteLength) {
      await connection.readInto(received);
      if (!received.equals(part)) throw new Error(`Other bytes came at ${numBytes}`);
    }
    expect(server.peakResidentBytes).toBeLessThan(poolBytes + ALLOWANCE_BYTES);
  });

  test("keeps its bound when it is given ten times as much, from many clients", async () => {
    const poolBytes = 64 * MiB;
    const args = ["--port", "0", "--max-local-cpu-size", `${poolBytes}b`];
    const server = await start(...args);
    const numClients = 16;
    await Promise.all(
      Array.from({ length: numClients }, async (_, number) => {
        using client = await RawClient.connect(server.port);
        for (let sentBytes = 0, turn = 0; sentBytes < (10 * poolBytes) / numClients; turn++) {
          const value = Buffer.alloc([MiB, 3 * MiB, 100_000, 17][(turn + number) % 4]!, turn);
          const name = `client ${number} value ${turn}`;
          await client.send(putFrame(name, value));
          const { head, body } = await client.ask(frame("get", name));
          if (head.code === 200) expect(body.equals(value)).toBe(true);
          sentBytes += value.byteLength;
        }
      }),
    );
    expect(server.peakResidentBytes).toBeLessThan(poolBytes + ALLOWANCE_BYTES);
  });
});

describe("warmkv cache-server with TLS", () => {
  let certificates: Certificates;
  beforeAll(async () => {
    certificates = await makeCertificates(directory);
  });

  function tlsArgs(...more: string[]): string[] {
    const { certificateFile, keyFile } = certificates;
    return ["--port", "0", "--max-local-cpu-size", "64Mi"].concat(
      ["--tls-cert", certificateFile, "--tls-key", keyFile],
      more,
    );
  }

  test("serves large values, and nothing to who speaks plainly", async () => {
    const server = await start(...tlsArgs());
    using client = await RawClient.connect(server.port, { ca: certificates.ca });
    const value = Buffer.alloc(9 * MiB, 3);
    await client.send(putFrame("k", value));
    expect((await client.ask(frame("get", "k"))).body.equals(value)).toBe(true);
    using plain = await RawClient.connect(server.port);
    await plain.send(frame("get", "k"));
    await plain.closed();
    expect((await client.ask(frame("exist", "k"))).head.code).toBe(200);
  });

  test("asks for a certificate where --tls-ca is given", async () => {
    const server = await start(...tlsArgs("--tls-ca", certificates.caFile));
    const { ca, certificateFile, keyFile } = certificates;
    const [cert, key] = await Promise.all([readFile(certificateFile), readFile(keyFile)]);
    using known = await RawClient.connect(server.port, { ca, cert, key });
    expect((await known.ask(frame("health", ""))).head.code).toBe(200);
    using unknown = await RawClient.connect(server.port, { ca });
    await unknown.send(frame("health", ""));
    await unknown.closed();
    await expect(unknown.reply()).rejects.toThrow("closed the connection");
  });
});

interface Stats {
  readonly pool: unknown;
}
