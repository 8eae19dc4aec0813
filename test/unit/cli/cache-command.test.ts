import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runCli } from "../../../src/cli/program.ts";

let directory: string;
let stdout = "";
let stderr = "";

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-cache-command-"));
  stdout = "";
  stderr = "";
  vi.stubEnv("VLLM_API_KEY", undefined);
  vi.spyOn(process.stdout, "write").mockImplementation((text) => Boolean((stdout += String(text))));
  vi.spyOn(process.stderr, "write").mockImplementation((text) => Boolean((stderr += String(text))));
  vi.spyOn(console, "log").mockImplementation((text) => void (stdout += `${String(text)}\n`));
  vi.spyOn(console, "error").mockImplementation((text) => void (stderr += `${String(text)}\n`));
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true, force: true });
});

/** A server that answers all requests alike and remembers them. */
async function answering(
  status: number,
  body: string,
): Promise<{ url: string; requests: string[]; close(): void }> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (piece) => (text += String(piece)));
    request.on("end", () => {
      const { method, url, headers } = request;
      requests.push(`${method} ${url} ${headers.authorization ?? "-"} ${text}`);
      response.writeHead(status, { connection: "close" }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, requests, close: () => server.close() };
}

describe("warmkv cache", () => {
  it.each(["stats", "ls", "verify", "clear", "lookup", "prefetch", "pin", "unpin", "move"])(
    "%s --help shows examples",
    async (name) => {
      expect(await runCli(["cache", name, "--help"])).toBe(0);
      expect(stdout).toContain(`Examples:\n  warmkv cache ${name}`);
    },
  );

  it.each([
    [["stat"], "unknown command 'stat'"],
    [["stats", "--url", "localhost:8000"], 'Cannot use --url "localhost:8000": wanted an address'],
    [["stats", "--url", "http://a", "--dir", "b"], "cannot be used with option"],
    [["ls", "--dir", "/no/such"], 'Cannot read --dir "/no/such"'],
    [["verify"], "required option '--dir <directories...>'"],
    [["clear", "--dir", "/no/such", "--tier", "x"], "Cannot use --tier with --dir"],
    [["clear", "--dir", "/no/such", "--prompt", "x"], "Cannot use --prompt with --dir"],
    [["prefetch"], "Missing a prompt: wanted --prompt, --file, --messages or --tokens"],
    [["prefetch", "--prompt", "a", "--file", "b"], "Cannot use --prompt and --file together"],
    [["prefetch", "--file", "/no/such"], 'Cannot read --file "/no/such": ENOENT'],
    [["clear", "--cache-salt", "s"], "Cannot use --cache-salt without a prompt"],
    [["pin", "--prompt", "a", "--ttl", "0"], '--ttl "0": wanted a whole number from 1 to 604800'],
    [["move", "--prompt", "a", "--to", "b"], "required option '--from <tier>'"],
  ])("%j is bad usage", async (argv, message) => {
    expect(await runCli(["cache", ...argv])).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n").length).toBeLessThanOrEqual(2);
  });

  it.each([
    ["{", "as JSON"],
    ['{"messages":[]}', "wanted a JSON list"],
  ])("--messages with a file that holds %s is bad usage", async (text, message) => {
    const file = path.join(directory, "chat.json");
    await writeFile(file, text);
    expect(await runCli(["cache", "lookup", "--messages", file])).toBe(2);
    expect(stderr).toContain(message);
  });

  it("says in a sentence that no server can be reached", async () => {
    const server = await answering(200, "");
    server.close();
    expect(await runCli(["cache", "stats", "--url", server.url])).toBe(1);
    expect(stderr).toMatch(/^error: Cannot reach http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED.*\n$/);
  });

  it.each([
    [400, { message: "Invalid 'prompt': wanted another" }, 2, "error: Invalid 'prompt': wanted"],
    [401, { message: "Missing or incorrect API key" }, 1, "answered 401: Missing or incorrect"],
    [503, { message: "KV caching is off", code: "cache_off" }, 1, "answered 503: KV caching is"],
    [404, { message: "There is no ...", code: "not_found" }, 1, "404 to POST /cache/lookup: There"],
    [404, { detail: "Not Found" }, 1, "answered 404 to POST /cache/lookup\n"],
  ])("an answer of %i %j ends in a sentence", async (status, error, exitCode, message) => {
    const server = await answering(status, JSON.stringify({ error }));
    expect(await runCli(["cache", "lookup", "--prompt", "a", "--url", server.url])).toBe(exitCode);
    expect(stderr).toContain(message);
    server.close();
  });

  it("says so when the answer is no JSON", async () => {
    const server = await answering(200, "<html>");
    expect(await runCli(["cache", "stats", "--url", server.url])).toBe(1);
    expect(stderr).toContain("answered 200 to GET /cache/stats");
    server.close();
  });

  it("sends the key of --api-key or VLLM_API_KEY, and the address without /v1", async () => {
    const server = await answering(200, '{"unpinned":true}');
    const unpin = ["cache", "unpin", "--url", `${server.url}/v1/`, "--prompt", "a"];
    expect(await runCli([...unpin, "--api-key", "secret"])).toBe(0);
    vi.stubEnv("VLLM_API_KEY", "other");
    expect(await runCli(unpin)).toBe(0);
    vi.stubEnv("VLLM_API_KEY", "");
    expect(await runCli([...unpin, "--cache-salt", "s"])).toBe(0);
    expect(server.requests).toEqual([
      'POST /cache/unpin Bearer secret {"prompt":"a"}',
      'POST /cache/unpin Bearer other {"prompt":"a"}',
      'POST /cache/unpin - {"prompt":"a","cache_salt":"s"}',
    ]);
    server.close();
  });
});
