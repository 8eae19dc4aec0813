import { type Command, Option } from "commander";
import { UsageError } from "../core/index.ts";

/** A flag that people paste from their `vllm serve` command and that decides nothing here. */
interface VllmFlag {
  readonly flags: string;
  /** Values that ask for what happens anyway, others are refused; undefined: any. */
  readonly allowed?: readonly string[];
  readonly why: string;
}

const ONE_ENGINE = "one engine computes on all GPUs of its machine";
const OWN_TYPES = "a GGUF file says itself how its weights are stored";
const MEMORY = "--ctx-size and --gpu-layers say what goes into memory";
const LOGS = "--log-level says what is logged";
const GPU_ONLY = "there is nothing like it in llama.cpp";
const BY_TEMPLATE = "the model's chat template decides";
const IN_FILE = "it is in the GGUF file";
const LORA = "--lora and --lora-modules name the adapters";
const ALWAYS = "it is so";
const ONE = ["1"];

const VLLM_FLAGS: readonly VllmFlag[] = [
  { flags: "--tensor-parallel-size <n>", allowed: ONE, why: ONE_ENGINE },
  { flags: "--pipeline-parallel-size <n>", allowed: ONE, why: ONE_ENGINE },
  { flags: "--data-parallel-size <n>", allowed: ONE, why: ONE_ENGINE },
  { flags: "--distributed-executor-backend <name>", why: ONE_ENGINE },
  {
    flags: "--dtype <type>",
    allowed: ["auto", "half", "float16", "bfloat16", "float", "float32"],
    why: OWN_TYPES,
  },
  { flags: "--load-format <format>", allowed: ["auto", "gguf"], why: OWN_TYPES },
  { flags: "--quantization <method>", allowed: ["gguf"], why: OWN_TYPES },
  { flags: "--device <device>", why: MEMORY },
  { flags: "--gpu-memory-utilization <part>", why: MEMORY },
  { flags: "--swap-space <gib>", why: MEMORY },
  { flags: "--cpu-offload-gb <gib>", why: MEMORY },
  { flags: "--block-size <tokens>", why: "LMCACHE_CHUNK_SIZE sets the cache's grain" },
  { flags: "--prefix-caching-hash-algo <name>", why: "keys are made by LMCache's settings" },
  { flags: "--trust-remote-code", why: "nothing that comes with a model is run" },
  { flags: "--tokenizer <name>", why: IN_FILE },
  { flags: "--tokenizer-mode <mode>", why: IN_FILE },
  { flags: "--hf-config-path <path>", why: IN_FILE },
  { flags: "--generation-config <where>", why: "requests say how to sample" },
  { flags: "--enforce-eager", why: GPU_ONLY },
  { flags: "--compilation-config <json>", why: GPU_ONLY },
  { flags: "--disable-custom-all-reduce", why: GPU_ONLY },
  { flags: "--max-seq-len-to-capture <tokens>", why: GPU_ONLY },
  { flags: "--num-scheduler-steps <n>", why: GPU_ONLY },
  { flags: "--guided-decoding-backend <name>", why: "llama.cpp's grammars do it" },
  { flags: "--disable-frontend-multiprocessing", why: "the model has a thread of its own" },
  { flags: "--enable-auto-tool-choice", why: BY_TEMPLATE },
  { flags: "--tool-call-parser <name>", why: BY_TEMPLATE },
  { flags: "--enable-reasoning", why: BY_TEMPLATE },
  { flags: "--reasoning-parser <name>", why: BY_TEMPLATE },
  { flags: "--chat-template-content-format <format>", why: BY_TEMPLATE },
  { flags: "--enable-prompt-tokens-details", why: ALWAYS },
  { flags: "--enable-request-id-headers", why: ALWAYS },
  { flags: "--enable-server-load-tracking", why: ALWAYS },
  { flags: "--exclude-tools-when-tool-choice-none", why: ALWAYS },
  { flags: "--scheduling-policy <policy>", allowed: ["fcfs", "priority"], why: ALWAYS },
  { flags: "--disable-fastapi-docs", why: ALWAYS },
  { flags: "--api-server-count <n>", allowed: ONE, why: ONE_ENGINE },
  { flags: "--async-scheduling", why: "the model has a thread of its own" },
  { flags: "--no-async-scheduling", why: "the model has a thread of its own" },
  { flags: "--attention-backend <name>", why: GPU_ONLY },
  { flags: "--kv-cache-memory-bytes <bytes>", why: MEMORY },
  { flags: "--tokenizer-revision <name>", why: IN_FILE },
  { flags: "--structured-outputs-config <json>", why: "llama.cpp's grammars do it" },
  { flags: "--max-log-len <n>", why: LOGS },
  { flags: "--disable-log-requests", why: LOGS },
  { flags: "--enable-log-requests", why: LOGS },
  { flags: "--no-enable-log-requests", why: LOGS },
  { flags: "--disable-log-stats", why: LOGS },
  { flags: "--uvicorn-log-level <level>", why: LOGS },
  { flags: "--disable-uvicorn-access-log", why: LOGS },
  { flags: "--enable-lora", why: LORA },
  { flags: "--max-loras <n>", why: LORA },
  { flags: "--max-cpu-loras <n>", why: LORA },
  { flags: "--max-lora-rank <n>", why: LORA },
];

/** Adds them to a command; its help does not show them. */
export function addVllmFlags(command: Command): Command {
  for (const flag of VLLM_FLAGS) command.addOption(optionOf(flag));
  return command;
}

/** One line about the flags that were given and mean nothing; undefined: there was none. */
export function describeIgnoredFlags(command: Command): string | undefined {
  const given = VLLM_FLAGS.map((flag) => ({ ...flag, option: new Option(flag.flags) }))
    .filter(({ option }) => isGiven(command, option))
    .map(({ option, why }) => `${option.long} (${why})`);
  return given.length === 0 ? undefined : `Without effect here: ${given.join(", ")}`;
}

/** A flag and its "no" share one value. */
function isGiven(command: Command, option: Option): boolean {
  const name = option.attributeName();
  if (command.getOptionValueSource(name) !== "cli") return false;
  return option.negate
    ? command.getOptionValue(name) === false
    : command.getOptionValue(name) !== false;
}

function optionOf({ flags, allowed, why }: VllmFlag): Option {
  const option = new Option(flags).hideHelp();
  if (allowed === undefined) return option;
  return option.argParser((value) => {
    if (allowed.includes(value)) return value;
    const wanted = [...allowed, "no such flag"].join(", ");
    throw new UsageError(`Cannot use ${option.long} ${value}: ${why}; wanted ${wanted}`, {
      param: option.long!,
    });
  });
}
