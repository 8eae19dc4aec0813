import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runCli } from "../../../src/cli/program.ts";

let stdout = "";
let stderr = "";

beforeEach(() => {
  stdout = "";
  stderr = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => Boolean((stdout += String(text))));
  vi.spyOn(process.stderr, "write").mockImplementation((text) => Boolean((stderr += String(text))));
  vi.spyOn(console, "error").mockImplementation((text) => void (stderr += `${String(text)}\n`));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe("warmkv", () => {
  it("--version tells the version", async () => {
    expect(await runCli(["--version"])).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("model info knows models by the names that serve knows", async () => {
    const lines: string[] = [];
    vi.spyOn(console, "log").mockImplementation((text) => void lines.push(String(text)));
    expect(await runCli(["model", "info", "synth:1m"])).toBe(0);
    expect(lines.join("\n")).toMatch(/architecture +llama/);
  });

  it("--help lists the commands with examples", async () => {
    expect(await runCli(["--help"])).toBe(0);
    for (const text of ["serve", "model", "bench", "Examples:"]) expect(stdout).toContain(text);
  });

  it("without a command is bad usage and shows the help", async () => {
    expect(await runCli([])).toBe(2);
    expect(stderr).toContain("Usage: warmkv");
  });

  it.each([
    [["serv"], "unknown command 'serv'"],
    [["serve"], "missing required argument 'model'"],
    [["serve", "x.gguf", "--prot", "1"], "unknown option '--prot'"],
    [
      ["serve", "x.gguf", "--port", "99999"],
      '--port "99999": wanted a whole number from 0 to 65535',
    ],
    [["serve", "x.gguf", "--max-model-len", "0"], '--max-model-len "0"'],
    [["serve", "x.gguf", "--log-level", "loud"], "Allowed choices are debug, info, warn, error"],
    [
      ["serve", "x.gguf", "--kv-transfer-config", "{"],
      'Cannot read --kv-transfer-config "{" as JSON',
    ],
    [["serve", "x.gguf", "--api-key", ""], "Cannot use an empty --api-key"],
    [["serve", "x.gguf", "--chat-template", "/no/such/file"], "/no/such/file"],
    [["serve", "/no/such/model.gguf"], "/no/such/model.gguf"],
    [["model", "info", "/no/such/model.gguf"], "/no/such/model.gguf"],
    [["model", "synth", "--params", "25x", "--out", "/tmp/x"], '"25x"'],
    [["model", "synth", "--params", "25m"], "required option '--out <file>'"],
  ])("%j is bad usage", async (argv, message) => {
    expect(await runCli(argv)).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n").length).toBeLessThanOrEqual(2);
  });

  it("stops at a cache setting that cannot be understood", async () => {
    vi.stubEnv("LMCACHE_MAX_LOCAL_CPU_SIZE", "abc");
    expect(await runCli(["serve", "/no/such/model.gguf"])).toBe(2);
    expect(stderr).toContain("abc");
  });

  it("serve --help shows vLLM's flags, the environment and examples", async () => {
    expect(await runCli(["serve", "--help"])).toBe(0);
    for (const text of ["--kv-transfer-config", "VLLM_API_KEY", "LMCACHE_", "Examples:"]) {
      expect(stdout).toContain(text);
    }
  });

  it("help serve shows the same", async () => {
    expect(await runCli(["help", "serve"])).toBe(0);
    expect(stdout).toContain("--kv-transfer-config");
  });
});
