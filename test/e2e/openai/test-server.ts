import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { ServerProcess } from "../../../src/bench/server-process.ts";
import { chatTemplates } from "./chat-templates.ts";

const script = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

/** `warmkv serve synth:1m` with a chat template that has tools. */
export class TestServer implements AsyncDisposable {
  readonly process: ServerProcess;
  readonly #directory: string;

  static async start(
    template: keyof typeof chatTemplates,
    ...flags: readonly string[]
  ): Promise<TestServer> {
    const directory = mkdtempSync(join(tmpdir(), "warmkv-openai-"));
    const file = join(directory, "template.jinja");
    writeFileSync(file, chatTemplates[template]);
    const args = ["serve", "synth:1m", "--port", "0", "--threads", "1", "--chat-template", file];
    const server = await ServerProcess.start({
      script,
      args: [...args, ...flags],
      env: environment(),
    });
    return new TestServer(server, directory);
  }

  private constructor(server: ServerProcess, directory: string) {
    this.process = server;
    this.#directory = directory;
  }

  get url(): string {
    return this.process.url;
  }

  client(): OpenAI {
    return new OpenAI({ baseURL: `${this.url}/v1`, apiKey: "none", maxRetries: 0 });
  }

  /** All levels and counters without labels of their own, by name. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text.matchAll(/^([\w:]+)(?:\{[^}]*\})? (\S+)$/gm);
    return new Map(Array.from(lines, ([, name, value]) => [name!, Number(value)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Settings of whoever runs the tests must not reach the server. */
function environment(): NodeJS.ProcessEnv {
  const isForeign = (name: string): boolean => !/^(LMCACHE_|VLLM_API_KEY)/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => isForeign(name)));
}
