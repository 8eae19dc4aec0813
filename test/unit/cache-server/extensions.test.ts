import { afterEach, describe, expect, test } from "vitest";
import { KiB, MiB } from "../../../src/core/index.ts";
import {
  LM_EXTENSIONS,
  LM_EXTENSION_VERSION,
  LM_MAX_NAMES_BYTES,
  decodeLmNames,
  encodeLmNames,
  encodeLmRequest,
  lmHello,
  lmProof,
  lmRequest,
  readLmHelloReply,
} from "../../../src/protocol/index.ts";
import { type RawClient, frame, putFrame } from "./raw-client.ts";
import { TestServers, manualClock } from "./test-servers.ts";

const HELLO = encodeLmRequest(lmHello());

function withNames(command: number, names: readonly string[]): Buffer {
  const body = encodeLmNames(names);
  const head = encodeLmRequest(lmRequest(command, "", { byteLength: body.byteLength }));
  return Buffer.concat([head, body]);
}

function page(after: string): Buffer {
  return encodeLmRequest(lmRequest(LM_EXTENSIONS.names, after));
}

describe("CacheServer, to clients of our own,", () => {
  const servers = new TestServers();
  afterEach(() => servers.close());

  test("says which version it speaks, and wants no token when it has none", async () => {
    const client = await servers.client(await servers.open());
    const { head } = await client.ask(HELLO);
    expect(readLmHelloReply(head)).toEqual({ version: LM_EXTENSION_VERSION, nonce: undefined });
  });

  test("counts the leading names of a batch that are stored", async () => {
    const client = await servers.client(await servers.open());
    for (const name of ["a", "b", "d"]) await client.send(putFrame(name, Buffer.from(name)));
    const { head } = await client.ask(withNames(LM_EXTENSIONS.lookup, ["a", "b", "c", "d"]));
    expect(head).toMatchObject({ code: 200, shape: [2, 0, 0, 0] });
    expect((await client.ask(withNames(LM_EXTENSIONS.lookup, []))).head.shape[0]).toBe(0);
  });

  test("removes values", async () => {
    const client = await servers.client(await servers.open());
    for (const name of ["a", "b"]) await client.send(putFrame(name, Buffer.from(name)));
    const { head } = await client.ask(withNames(LM_EXTENSIONS.remove, ["a", "x"]));
    expect(head).toMatchObject({ code: 200, shape: [1, 0, 0, 0] });
    expect((await client.ask(frame("exist", "a"))).head.code).toBe(400);
    expect((await client.ask(frame("get", "b"))).body.toString()).toBe("b");
  });

  test("lists all names in pages, each once", async () => {
    const client = await servers.client(await servers.open({ maxLocalCpuSizeBytes: 128 * MiB }));
    const names = Array.from({ length: 5000 }, (_, index) => `model@1@0@${index}@half`);
    for (const name of names) await client.send(putFrame(name, Buffer.alloc(1)));
    const found: string[] = [];
    for (let more = true; more;) {
      const { head, body } = await client.ask(page(found.at(-1) ?? ""));
      const part = decodeLmNames(body);
      expect(head.shape[0]).toBe(part.length);
      found.push(...part);
      more = part.length > 0;
    }
    expect(found.toSorted()).toEqual(names.toSorted());
  });

  test("answers whether it would take a value, and whether it has taken it", async () => {
    const client = await servers.client(await servers.open({ maxLocalCpuSizeBytes: MiB }));
    const offer = (key: string, byteLength: number): Promise<number> =>
      client
        .ask(encodeLmRequest(lmRequest(LM_EXTENSIONS.offer, key, { shape: [byteLength, 0, 0, 0] })))
        .then(({ head }) => head.code);
    const store = (key: string, body: Buffer): Promise<number> => {
      const { byteLength } = body;
      const head = encodeLmRequest(lmRequest(LM_EXTENSIONS.store, key, { byteLength }));
      return client.ask(Buffer.concat([head, body])).then((reply) => reply.head.code);
    };
    expect(await offer("a", 100 * KiB)).toBe(200);
    expect(await store("a", Buffer.alloc(100 * KiB))).toBe(200);
    expect(await offer("a", 100 * KiB)).toBe(208);
    expect(await offer("b", 2 * MiB)).toBe(507);
    expect(await store("b", Buffer.alloc(2 * MiB))).toBe(507);
    expect((await client.ask(frame("get", "a"))).body.equals(Buffer.alloc(100 * KiB))).toBe(true);
  });

  test("keeps claims for no longer than ten minutes, and of nothing that is no key", async () => {
    const clock = manualClock();
    const client = await servers.client(await servers.open({ clock }));
    const claim = async (owner: string, ttlMs: number): Promise<number> => {
      const body = encodeLmNames(["a", "b"]);
      const { byteLength } = body;
      const shape = [ttlMs, 0, 0, 0] as const;
      const head = lmRequest(LM_EXTENSIONS.claim, owner, { byteLength, shape });
      const answer = await client.ask(Buffer.concat([encodeLmRequest(head), body]));
      return answer.head.shape[0];
    };
    expect(await claim("one", 2 ** 31 - 1)).toBe(2);
    expect(await claim("two", 1000)).toBe(0);
    clock.advance(600_000);
    expect(await claim("two", -1)).toBe(2);
    expect(await claim("one", 1000)).toBe(2);
    await client.send(withNames(LM_EXTENSIONS.claim, ["x".repeat(151)]));
    await client.closed();
  });

  test("closes the connection of who sends too many names, or none that can be read", async () => {
    const server = await servers.open();
    for (const frames of [
      encodeLmRequest(lmRequest(LM_EXTENSIONS.lookup, "", { byteLength: LM_MAX_NAMES_BYTES + 1 })),
      Buffer.concat([
        encodeLmRequest(lmRequest(LM_EXTENSIONS.lookup, "", { byteLength: 3 })),
        Uint8Array.of(9, 0, 1),
      ]),
    ]) {
      const client = await servers.client(server);
      await client.send(frames);
      await client.closed();
    }
    expect(server.stats().numCut.protocol).toBe(2);
  });

  describe("with a token", () => {
    const TOKEN = "correct horse battery staple";

    async function proof(client: RawClient, token: string): Promise<Buffer> {
      const { nonce } = readLmHelloReply((await client.ask(HELLO)).head)!;
      return encodeLmRequest(lmRequest(LM_EXTENSIONS.prove, lmProof(token, nonce!)));
    }

    test("serves who proves to know it", async () => {
      const server = await servers.open({ authToken: TOKEN });
      const client = await servers.client(server);
      expect((await client.ask(await proof(client, TOKEN))).head.code).toBe(200);
      await client.send(putFrame("k", Buffer.from("value")));
      expect((await client.ask(frame("get", "k"))).body.toString()).toBe("value");
    });

    test("refuses who proves another one, who repeats a proof, and who proves nothing", async () => {
      const server = await servers.open({ authToken: TOKEN });
      const first = await servers.client(server);
      const good = await proof(first, TOKEN);
      const attempts = [
        async (client: RawClient) => client.send(await proof(client, "guess")),
        async (client: RawClient) => {
          await proof(client, TOKEN);
          await client.send(good);
        },
        async (client: RawClient) => client.send(good),
        async (client: RawClient) => client.send(frame("get", "k")),
        async (client: RawClient) => client.send(putFrame("k", Buffer.from("value"))),
      ];
      for (const attempt of attempts) {
        const client = await servers.client(server);
        await attempt(client);
        expect((await client.reply()).head.code).toBe(401);
        await client.closed();
      }
      expect(server.stats()).toMatchObject({ numCut: { unauthorized: 5 }, receivedBytes: 0 });
    });

    test("answers probes, which know no token", async () => {
      const client = await servers.client(await servers.open({ authToken: TOKEN }));
      expect((await client.ask(frame("health", "@@0@0@"))).head.code).toBe(200);
    });

    test("does not wait for ever for a proof", async () => {
      const clock = manualClock();
      const server = await servers.open({ authToken: TOKEN, clock, stallTimeoutMs: 5 });
      const client = await servers.client(server);
      await client.ask(HELLO);
      clock.advance(100);
      await client.closed();
      expect(server.stats().numCut.unauthorized).toBe(1);
    });

    test("may not be empty", async () => {
      await expect(servers.open({ authToken: "" })).rejects.toThrow("empty auth token");
    });
  });
});
