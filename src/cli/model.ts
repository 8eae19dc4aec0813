import { Command, Option } from "commander";
import { formatBytes, systemClock } from "../core/index.ts";
import type { GgufInfo } from "../models/index.ts";
import { wholeNumber } from "./flags.ts";
import { ModelProgressLine } from "./model-progress-line.ts";
import { ProgressLine } from "./progress.ts";

const MAX_SEED = 0xffff_ffff;

const SYNTH_HELP = `
The weights are random, but always the same for the same arguments. Such a model answers nonsense: it is
for trying, testing and timing. Wherever a model is named, synth:25m makes one on the spot, and
synth:gemma3:1m one of another family.

Examples:
  warmkv model synth --params 25m --out synth.gguf
  warmkv model synth --params 0.5b --out synth.gguf --seed 7
  warmkv model synth --family qwen35 --params 2m --out qwen35.gguf`;

const HELP = `
Examples:
  warmkv model synth --params 25m --out synth.gguf
  warmkv model info synth.gguf`;

const INFO_HELP = `
Examples:
  warmkv model info model.gguf
  warmkv model info synth:25m
  warmkv model info model.gguf --json`;

/** `warmkv model ...` */
export function modelCommand(): Command {
  return new Command("model")
    .description("make and inspect model files")
    .addCommand(synthCommand())
    .addCommand(infoCommand())
    .addHelpText("after", HELP);
}

function synthCommand(): Command {
  return new Command("synth")
    .description("write a model of random weights")
    .option(
      "--family <name>",
      "the architecture, such as gemma3; all are in docs/families.md",
      "llama",
    )
    .requiredOption("--params <count>", "about so many parameters, from 0.5m to 1b")
    .requiredOption("--out <file>", "where to write it")
    .addOption(
      new Option("--type <type>", "how the weights are stored")
        .choices(["q8_0", "f32"])
        .default("q8_0"),
    )
    .option("--seed <n>", "another seed, another model", wholeNumber("--seed", 0, MAX_SEED), 0)
    .option("--json", "print what was written as JSON")
    .addHelpText("after", SYNTH_HELP)
    .action(synthesize);
}

function infoCommand(): Command {
  return new Command("info")
    .description("show what a GGUF file says of itself")
    .argument("<model>", "as for `warmkv serve`: a file, synth:25m, owner/repo:quant")
    .option("--json", "print it as JSON")
    .addHelpText("after", INFO_HELP)
    .action(showInfo);
}

async function synthesize(flags: SynthFlags): Promise<void> {
  const { parseParamCount, readGgufInfo, synthesizeModel } = await import("../models/index.ts");
  const numParams = parseParamCount(flags.params);
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort(new Error("Interrupted"));
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  using progress = new ProgressLine(`Writing ${flags.out}:`, process.stderr, systemClock);
  try {
    await synthesizeModel({
      family: flags.family,
      numParams,
      path: flags.out,
      type: flags.type,
      seed: flags.seed,
      signal: interruption.signal,
      onProgress: ({ writtenBytes, totalBytes }) => progress.update(writtenBytes, totalBytes),
    });
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
  printInfo(flags.out, await readGgufInfo(flags.out), flags.json);
}

async function showInfo(model: string, flags: { readonly json?: true }): Promise<void> {
  const { readGgufInfo, resolveModel } = await import("../models/index.ts");
  using progress = new ModelProgressLine(model);
  const { path } = await resolveModel(model, { onProgress: (step) => progress.show(step) });
  printInfo(path, await readGgufInfo(path), flags.json);
}

interface SynthFlags {
  readonly family: string;
  readonly params: string;
  readonly out: string;
  readonly type: "q8_0" | "f32";
  readonly seed: number;
  readonly json?: true;
}

function printInfo(path: string, info: GgufInfo, asJson: true | undefined): void {
  if (asJson) {
    console.log(JSON.stringify({ path, ...info }, null, 2));
    return;
  }
  const { numFiles } = info;
  const rows: [label: string, value: string | number | undefined][] = [
    ["file", numFiles === 1 ? path : `${path} (${numFiles} files)`],
    ["size", formatBytes(info.fileBytes)],
    ["name", info.name],
    ["architecture", info.architecture],
    ["parameters", formatCount(info.numParameters)],
    ["weights", info.fileType],
    ["layers", info.numLayers],
    ["embedding length", info.embeddingLength],
    ["heads", info.numHeads],
    ["KV heads", info.numKvHeads],
    ["context length", info.contextLength],
    ["KV per token", bytesOf(info.kvBytesPerToken)],
    ["sliding window", windowOf(info)],
    ["state", stateOf(info)],
    ["tokenizer", info.tokenizerModel],
    ["vocabulary", info.vocabularySize],
    ["chat template", info.hasChatTemplate ? "yes" : "no"],
  ];
  for (const [label, value] of rows) console.log(`${label.padEnd(18)}${value ?? "not stated"}`);
}

function bytesOf(numBytes: number | undefined): string | undefined {
  return numBytes === undefined ? undefined : formatBytes(numBytes);
}

function windowOf({ slidingWindow, ...info }: GgufInfo): string {
  if (slidingWindow === undefined) return "none";
  const numLayers = (info.numWindowLayers ?? 0) + (info.numFullAttentionLayers ?? 0);
  return `${formatCount(slidingWindow)} tokens in ${info.numWindowLayers} of ${numLayers} layers`;
}

function stateOf({ stateBytes, numStateLayers }: GgufInfo): string | undefined {
  if (stateBytes === undefined) return undefined;
  if (stateBytes === 0) return "none";
  return `${formatBytes(stateBytes)} per sequence in ${numStateLayers} layers`;
}

function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}
