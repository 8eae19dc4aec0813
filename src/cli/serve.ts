import { Command, Option } from "commander";
import type { LogFormat, LogLevel } from "../observability/index.ts";
import { gpuLayers, kvCacheType, tokenCount, wholeNumber } from "./flags.ts";
import { logFormatOption, logLevelOption } from "./server-options.ts";
import { addVllmFlags, describeIgnoredFlags } from "./vllm-flags.ts";

/** The flags of `warmkv serve`, read and checked one by one. */
export interface ServeFlags {
  readonly host: string;
  readonly port: number;
  readonly servedModelName?: readonly string[];
  readonly apiKey?: readonly string[];
  readonly chatTemplate?: string;
  readonly maxModelLen?: number;
  readonly maxNumSeqs?: number;
  readonly maxNumBatchedTokens?: number;
  /** Undefined: no. */
  readonly enablePrefixCaching?: boolean;
  /** Undefined: yes. */
  readonly enableChunkedPrefill?: boolean;
  readonly ctxSize?: number;
  readonly kvTransferConfig?: string;
  /** Undefined: auto. */
  readonly kvCacheDtype?: string;
  readonly gpuLayers: number | "auto" | "all";
  readonly threads?: number;
  readonly seed?: number;
  readonly revision?: string;
  readonly downloadDir?: string;
  readonly lora?: readonly string[];
  readonly loraModules?: readonly string[];
  readonly embeddings?: true;
  readonly pooling?: "mean" | "cls" | "last";
  /** vLLM's ways to ask for embeddings. */
  readonly runner?: "auto" | "generate" | "pooling";
  readonly convert?: "auto" | "none" | "embed";
  readonly task?: "auto" | "generate" | "embed";
  /** Undefined: as LMCACHE_LOG_LEVEL says. */
  readonly logLevel?: LogLevel;
  readonly logFormat: LogFormat;
  readonly shutdownTimeout: number;
  /** Seconds; undefined: no limit. */
  readonly requestTimeout?: number;
  /** What to say about flags that mean nothing here. */
  readonly ignored: string | undefined;
}

const MAX_TOKENS = 2 ** 31 - 1;
const MAX_SEED = 2 ** 32 - 1;

const HELP = `
<model> is a path to a .gguf file (any part of a split one), owner/repo or owner/repo:quant on the Hugging
Face hub (Q4_K_M unless you say another; HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE as usual), or
synth:25m for a model of random weights with about that many parameters.

The cache is on with --kv-transfer-config and the connector LMCacheConnectorV1, or when an LMCACHE_*
environment variable is set; otherwise it is off. Its settings are LMCache's: LMCACHE_CONFIG_FILE names
a YAML file, and variables such as LMCACHE_CHUNK_SIZE, LMCACHE_LOCAL_CPU and
LMCACHE_MAX_LOCAL_CPU_SIZE win over it.

Examples:
  warmkv serve synth:25m
  warmkv serve owner/model-GGUF:Q8_0 --max-model-len 16384 --served-model-name my-model
  warmkv serve model.gguf --kv-transfer-config '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'
  LMCACHE_CHUNK_SIZE=256 LMCACHE_LOCAL_CPU=True LMCACHE_MAX_LOCAL_CPU_SIZE=5.0 warmkv serve model.gguf
  VLLM_API_KEY=secret warmkv serve model.gguf --host 0.0.0.0 --log-format json`;

/** `warmkv serve <model>` */
export function serveCommand(): Command {
  const command = new Command("serve")
    .argument("<model>", "what to serve")
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--port <port>", "port; 0 takes a free one", wholeNumber("--port", 0, 65_535), 8000)
    .option(
      "--served-model-name <names...>",
      "names that clients may ask for; answers carry the first (default: the model as given)",
    )
    .addOption(
      new Option(
        "--api-key <keys...>",
        "ask clients for one of these keys as Authorization: Bearer",
      ).env("VLLM_API_KEY"),
    )
    .option(
      "--chat-template <template>",
      "a Jinja template in place of the model's own: a file, or the text",
    )
    .option(
      "--max-model-len <tokens>",
      "longest prompt plus answer (default: what the model was trained for, at most 32768)",
      tokenCount("--max-model-len", 1, MAX_TOKENS),
    )
    .option(
      "--max-num-seqs <n>",
      "most requests that are computed at the same time",
      wholeNumber("--max-num-seqs", 1, 256),
    )
    .option(
      "--max-num-batched-tokens <tokens>",
      "most tokens of one step, shared by answers that go on and prompts that come in",
      tokenCount("--max-num-batched-tokens", 1, MAX_TOKENS),
    )
    .option(
      "--enable-prefix-caching",
      "keep the KV of prompts in the engine's own memory too; costs other prompts some speed",
    )
    .option(
      "--no-enable-prefix-caching",
      "compute each prompt, or load it from the cache (default)",
    )
    .option("--enable-chunked-prefill", "prompts come in by pieces beside answers (default)")
    .option("--no-enable-chunked-prefill", "prompts are computed first, and answers wait")
    .option(
      "--ctx-size <tokens>",
      "KV cells of all requests together (default: by --max-num-seqs and the machine's memory)",
      tokenCount("--ctx-size", 1, MAX_TOKENS),
    )
    .option("--kv-transfer-config <json>", "switches the cache on; see below")
    .option(
      "--kv-cache-dtype <type>",
      "element type of the KV: f16, bf16, q8_0, q4_0, ... (default: auto, which is f16)",
      kvCacheType,
    )
    .option(
      "--gpu-layers <n>",
      "layers to compute on a GPU; all: there must be one; auto: all, where there is one",
      gpuLayers,
      "auto",
    )
    .option(
      "--threads <n>",
      "threads that compute (default: the cores less one)",
      wholeNumber("--threads", 1, 1024),
    )
    .option(
      "--seed <n>",
      "makes the answers of requests without a seed repeatable (default: they are random)",
      wholeNumber("--seed", 0, MAX_SEED),
    )
    .option("--revision <name>", "branch, tag or commit of a model on the hub (default: main)")
    .option(
      "--download-dir <folder>",
      "where downloaded models are kept (default: the Hugging Face cache)",
    )
    .option(
      "--lora <files...>",
      "LoRA adapters to add to the model, as GGUF files; file.gguf:0.5 for half their strength",
    )
    .option(
      "--lora-modules <modules...>",
      "LoRA adapters for requests that name one as their model: name=adapter.gguf",
    )
    .option(
      "--embeddings",
      "make embeddings, too; models that are made for them do so anyway (--runner pooling is the same)",
    )
    .addOption(
      new Option(
        "--pooling <type>",
        "how the vectors of a text become one: implies --embeddings (default: as the model says, or the last)",
      ).choices(["mean", "cls", "last"]),
    )
    .addOption(new Option("--runner <type>").choices(["auto", "generate", "pooling"]).hideHelp())
    .addOption(new Option("--convert <type>").choices(["auto", "none", "embed"]).hideHelp())
    .addOption(new Option("--task <task>").choices(["auto", "generate", "embed"]).hideHelp())
    .addOption(logLevelOption("least that is logged (default: LMCACHE_LOG_LEVEL, or info)"))
    .addOption(logFormatOption())
    .option(
      "--request-timeout <seconds>",
      "longest that an answer may take, from its arrival to its end (default: no limit)",
      wholeNumber("--request-timeout", 1, 86_400),
    )
    .option(
      "--shutdown-timeout <seconds>",
      "how long SIGTERM and Ctrl-C let answers go on; a second one ends at once",
      wholeNumber("--shutdown-timeout", 0, 86_400),
      30,
    )
    .addHelpText("after", HELP)
    .action(async (model: string, flags: Omit<ServeFlags, "ignored">) => {
      const { runService } = await import("./service.ts");
      await runService(model, { ...flags, ignored: describeIgnoredFlags(command) });
    });
  return addVllmFlags(command);
}
