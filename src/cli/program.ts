import { Command, CommanderError } from "commander";
import { UsageError, messageOf } from "../core/index.ts";
import { hyphenated } from "./flags.ts";
import { readVersion } from "./version.ts";

interface LazyCommand {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Each is loaded when it is asked for: `warmkv --help` waits for none of them. */
const commands: Readonly<Record<string, LazyCommand>> = {
  serve: {
    summary: "serve a model behind an OpenAI-compatible API",
    load: async () => (await import("./serve.ts")).serveCommand(),
  },
  model: {
    summary: "make and inspect model files",
    load: async () => (await import("./model.ts")).modelCommand(),
  },
  bench: {
    summary: "measure what a warm cache gains, and what the engine does",
    load: async () => (await import("./bench.ts")).benchCommand(),
  },
  cache: {
    summary: "look after what is cached, on a server or in a directory",
    load: async () => (await import("./cache.ts")).cacheCommand(),
  },
  "cache-server": {
    summary: "keep one cache for many engines, over lm://",
    load: async () => (await import("./serve-cache.ts")).serveCacheCommand(),
  },
  "infinistore-server": {
    summary: "keep values over InfiniStore's TCP mode",
    load: async () => (await import("./serve-infinistore.ts")).serveInfinistoreCommand(),
  },
  simulate: {
    summary: "replay a trace: hit rate by eviction policy and cache size",
    load: async () => (await import("./simulate.ts")).simulateCommand(),
  },
};

const EXAMPLES = `
Examples:
  warmkv serve synth:25m --kv-transfer-config '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'
  warmkv serve model.gguf --port 8000 --max-model-len 16384
  warmkv bench query-twice
  warmkv <command> --help`;

const EXIT_FAILED = 1;
const EXIT_BAD_USAGE = 2;

/**
 * Runs one command line.
 *
 * @param argv behind the program's name
 * @returns the exit code: 0, 1 when it failed, 2 for bad usage. What was wrong has been said on stderr
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  const program = new Command("warmkv")
    .description("Keeps the KV cache of LLM prompts warm, so that a prefix is computed once.")
    .version(readVersion())
    .exitOverride()
    .addHelpText("after", EXAMPLES);
  const wanted = argv.filter((argument) => !argument.startsWith("-"));
  const name = wanted[0] === "help" ? wanted[1] : wanted[0];
  for (const [candidate, { summary, load }] of Object.entries(commands)) {
    const command = candidate === name ? await load() : new Command(candidate);
    program.addCommand(command.summary(summary));
    inherit(command, program);
  }
  try {
    await program.parseAsync(hyphenated(argv), { from: "user" });
    return 0;
  } catch (error) {
    return exitCodeOf(error);
  }
}

/** Whoever reads what we write may stop, as `| head` does: then there is nothing left to say. */
export function endWhenNobodyReads(output: NodeJS.WriteStream): void {
  output.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
}

/** Commands that were made apart from their parent do not know its settings. */
function inherit(command: Command, parent: Command): void {
  command.copyInheritedSettings(parent);
  for (const child of command.commands) inherit(child, command);
}

function exitCodeOf(error: unknown): number {
  // commander has said what was wrong, or has shown the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_BAD_USAGE;
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}`);
    return EXIT_BAD_USAGE;
  }
  console.error(`error: ${isBug(error) ? error.stack : messageOf(error)}`);
  return EXIT_FAILED;
}

/** Somebody will have to look where it happened. */
function isBug(error: unknown): error is Error {
  return (
    error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError
  );
}
