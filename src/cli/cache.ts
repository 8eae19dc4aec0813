import { Command, Option } from "commander";
import { UsageError } from "../core/index.ts";
import {
  type DirectoryFlags,
  clearDirectory,
  listDirectory,
  showDirectoryStats,
  verifyDirectories,
} from "./cache-directory-commands.ts";
import { type PromptFlags, addPromptFlags } from "./cache-prompt-flags.ts";
import {
  type ServerFlags,
  clearServer,
  listTiers,
  lookup,
  move,
  pin,
  prefetch,
  showServerStats,
  unpin,
} from "./cache-server-commands.ts";
import { wholeNumber } from "./flags.ts";

const MAX_TTL_SECONDS = 7 * 24 * 3600;

type TargetFlags = ServerFlags & Partial<DirectoryFlags>;

/** `warmkv cache ...` */
export function cacheCommand(): Command {
  return new Command("cache")
    .description("look after what is cached, on a server or in a directory")
    .addCommand(statsCommand())
    .addCommand(lsCommand())
    .addCommand(verifyCommand())
    .addCommand(clearCommand())
    .addCommand(lookupCommand())
    .addCommand(prefetchCommand())
    .addCommand(pinCommand())
    .addCommand(unpinCommand())
    .addCommand(moveCommand())
    .addHelpText(
      "after",
      examples(
        "warmkv cache stats",
        "warmkv cache ls --dir /var/cache/kv",
        "warmkv cache prefetch --file prompt.txt",
        "warmkv cache verify --dir /var/cache/kv --delete",
      ),
    );
}

function statsCommand(): Command {
  return targeted("stats", "levels and counters of each tier, or totals of a directory")
    .addHelpText(
      "after",
      examples(
        "warmkv cache stats",
        "warmkv cache stats --url http://10.0.0.7:8000 --api-key secret --json",
        "warmkv cache stats --dir /var/cache/kv",
      ),
    )
    .action((flags: TargetFlags) =>
      inDirectory(flags) ? showDirectoryStats(flags) : showServerStats(flags),
    );
}

function lsCommand(): Command {
  return targeted("ls", "the chunks in a directory, or how many a server has in each tier")
    .addHelpText(
      "after",
      `
A line for each file, in the order of the directory: model, tokens [start, end), size, time since the last
use, key.
${examples("warmkv cache ls --dir /var/cache/kv", "warmkv cache ls --dir /var/cache/kv --json", "warmkv cache ls")}`,
    )
    .action((flags: TargetFlags) => (inDirectory(flags) ? listDirectory(flags) : listTiers(flags)));
}

function verifyCommand(): Command {
  return new Command("verify")
    .description("read every chunk in a directory and compare it with its checksums")
    .addOption(directoryOption().makeOptionMandatory())
    .option("--delete", "remove what is damaged")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
A server may be using the directory. Exits with 1 when something was damaged or could not be read, removed
or not.
${examples("warmkv cache verify --dir /var/cache/kv", "warmkv cache verify --dir /mnt/a --dir /mnt/b --delete")}`,
    )
    .action(verifyDirectories);
}

function clearCommand(): Command {
  const command = targeted("clear", "drop what is cached, without asking").option(
    "--tier <names...>",
    "only these tiers of the server, such as LocalCPUBackend",
  );
  return addPromptFlags(command)
    .addHelpText(
      "after",
      `
A server keeps chunks that are in use or pinned, unless their prompt is named. In a directory everything
that is named like a chunk goes, and nothing else.
${examples(
  "warmkv cache clear",
  "warmkv cache clear --tier LocalCPUBackend",
  "warmkv cache clear --file prompt.txt",
  "warmkv cache clear --dir /var/cache/kv",
)}`,
    )
    .action(async (flags: TargetFlags & PromptFlags & { readonly tier?: readonly string[] }) => {
      if (!inDirectory(flags)) return clearServer(flags);
      for (const name of ["tier", "prompt", "file", "messages", "tokens", "cacheSalt"] as const) {
        if (flags[name] === undefined) continue;
        const flag = name === "cacheSalt" ? "--cache-salt" : `--${name}`;
        throw new UsageError(`Cannot use ${flag} with --dir: wanted a server`, { param: flag });
      }
      return clearDirectory(flags);
    });
}

function lookupCommand(): Command {
  return onPrompt("lookup", "how many tokens of a prompt are in which tier")
    .addHelpText(
      "after",
      examples(
        'warmkv cache lookup --prompt "You are a helpful assistant."',
        "warmkv cache lookup --messages chat.json --json",
      ),
    )
    .action(lookup);
}

function prefetchCommand(): Command {
  return onPrompt("prefetch", "bring what lower tiers have of a prompt into CPU RAM")
    .option("--no-wait", "only begin it")
    .addHelpText(
      "after",
      examples(
        'warmkv cache prefetch --prompt "You are a helpful assistant."',
        "warmkv cache prefetch --file prompt.txt --no-wait",
        "warmkv cache prefetch --messages chat.json --url http://10.0.0.7:8000",
      ),
    )
    .action(prefetch);
}

function pinCommand(): Command {
  return onPrompt("pin", "keep what is stored of a prompt where it is")
    .option(
      "--ttl <seconds>",
      "for so long (default: pin_timeout_sec)",
      wholeNumber("--ttl", 1, MAX_TTL_SECONDS),
    )
    .addHelpText("after", examples("warmkv cache pin --file system-prompt.txt --ttl 3600"))
    .action(pin);
}

function unpinCommand(): Command {
  return onPrompt("unpin", "end a pin of the same prompt")
    .addHelpText("after", examples("warmkv cache unpin --file system-prompt.txt"))
    .action(unpin);
}

function moveCommand(): Command {
  return onPrompt("move", "put a prompt's chunks from one tier into another")
    .requiredOption("--from <tier>", "where they are")
    .requiredOption("--to <tier>", "where they go")
    .option("--copy", "leave them where they are, too")
    .addHelpText(
      "after",
      examples("warmkv cache move --file prompt.txt --from LocalCPUBackend --to LocalDiskBackend"),
    )
    .action(move);
}

/** A command for a server or a directory. */
function targeted(name: string, description: string): Command {
  return onServer(name, description).addOption(directoryOption().conflicts("url"));
}

/** A command for one prompt on a server. */
function onPrompt(name: string, description: string): Command {
  return addPromptFlags(onServer(name, description));
}

function onServer(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option("--url <url>", "the server", "http://127.0.0.1:8000")
    .addOption(new Option("--api-key <key>", "what the server asks for").env("VLLM_API_KEY"))
    .option("--json", "print the answer as JSON");
}

function directoryOption(): Option {
  return new Option("--dir <directories...>", "directories of a disk tier, without a server");
}

function inDirectory<Flags extends TargetFlags>(flags: Flags): flags is Flags & DirectoryFlags {
  return flags.dir !== undefined;
}

function examples(...lines: string[]): string {
  return ["", "Examples:", ...lines.map((line) => `  ${line}`)].join("\n");
}
