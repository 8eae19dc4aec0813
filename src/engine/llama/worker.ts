import { availableParallelism } from "node:os";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { messageOf } from "../../core/index.ts";
import type { StepItem, StepResult } from "../model-runner.ts";
import { ContextAdapters } from "./adapter.ts";
import { chooseContextSize } from "./context-size.ts";
import { LlamaContext } from "./context.ts";
import { Embedder } from "./embedder.ts";
import { Forward, followingItems } from "./forward.ts";
import { KvTransfer } from "./kv-transfer.ts";
import { loadLlamaLibrary } from "./library.ts";
import { detectMemoryLayout } from "./memory-layout.ts";
import { LlamaModel } from "./model.ts";
import type {
  RunnerCommand,
  RunnerOptions,
  RunnerReady,
  RunnerReply,
  RunnerRequest,
  RunnerStep,
} from "./runner-protocol.ts";
import { LlamaSampler } from "./sampler.ts";
import { LlamaVocab } from "./vocab.ts";

/**
 * The model's thread: owns model, context and samplers, and carries out commands one after another with
 * synchronous calls. The same thread for every forward pass keeps caches and cores warm.
 */
const options = workerData as RunnerOptions;
const port = parentPort!;
const library = loadLlamaLibrary();
const model = new LlamaModel(library, {
  path: options.modelPath,
  numGpuLayers: options.numGpuLayers,
});
const size = chooseContextSize(model, options);
const context = new LlamaContext(library, model, { ...options, numCells: size.numCells });
const adapters = new ContextAdapters(
  library,
  model,
  context.native,
  options.adapters,
  options.modules,
);
const memory = detectMemoryLayout(model, context);
const isEncoder =
  context.memory === null && !model.functions.llama_model_is_diffusion(model.native);
const embedder = Embedder.open(library, model, isEncoder, options, size.maxModelLen);
const vocab = new LlamaVocab(library.functions, model.native);
const forward = new Forward(
  context,
  Array.from({ length: vocab.size }, (_, token) => token).filter((token) =>
    vocab.isEndOfGeneration(token),
  ),
);
const transfer = new KvTransfer(context, memory);
const samplers = new Map<string, LlamaSampler>();

function run(command: RunnerCommand, id: number | undefined): unknown {
  switch (command.op) {
    case "run":
      return runSteps(command.items, command.numSteps, id!);
    case "interrupt":
      return undefined;
    case "extract":
      return transfer.extract(command.sequence, command.parts);
    case "restore":
      return transfer.restore(command.sequence, command.parts);
    case "embed":
      return embedder!.run(command.items);
    case "copy":
      context.copyRange(command.from, command.to, 0, command.numTokens);
      return undefined;
    case "trim":
      context.removeRange(command.sequence, command.start, -1);
      return undefined;
    case "addSampler":
      samplers.set(
        command.samplerId,
        new LlamaSampler(library.functions, vocab, command.sampling, command.promptTokens),
      );
      return undefined;
    case "dropSampler":
      samplers.get(command.samplerId)?.[Symbol.dispose]();
      samplers.delete(command.samplerId);
      return undefined;
    case "close":
      for (const sampler of samplers.values()) sampler[Symbol.dispose]();
      embedder?.[Symbol.dispose]();
      context[Symbol.dispose]();
      model[Symbol.dispose]();
      return undefined;
  }
}

function runSteps(items: readonly StepItem[], numSteps: number, id: number): StepResult {
  for (let left = numSteps - 1; ; left--) {
    adapters.use(items[0]!.module);
    const result = forward.run(items, samplers);
    if (left === 0 || result.status !== "ok" || hasNext()) return result;
    port.postMessage({ kind: "step", id, result } satisfies RunnerStep);
    items = followingItems(items, result);
  }
}

/** What was taken from the port while the command before it was still being carried out. */
let next: RunnerRequest | undefined;

function hasNext(): boolean {
  next ??= (receiveMessageOnPort(port) as { message: RunnerRequest } | undefined)?.message;
  return next !== undefined;
}

/**
 * How long the thread looks for the next command before it sleeps, where it takes nobody's core. Waking a
 * sleeping thread costs 0.1 to 0.5 ms on a virtual machine, several times per request; a warm request's commands come
 * up to a millisecond apart.
 */
const LOOKOUT_MS = availableParallelism() > 1 ? 1.5 : 0;

function handle({ id, command }: RunnerRequest): void {
  if (id === undefined) {
    run(command, id);
    return;
  }
  let reply: RunnerReply;
  try {
    reply = { kind: "reply", id, value: run(command, id) };
  } catch (error) {
    reply = { kind: "reply", id, error: messageOf(error) };
  }
  port.postMessage(reply);
}

port.on("message", (request: RunnerRequest) => {
  handle(request);
  let deadlineMs = performance.now() + LOOKOUT_MS;
  while (performance.now() < deadlineMs) {
    if (!hasNext()) continue;
    const following = next!;
    next = undefined;
    handle(following);
    deadlineMs = performance.now() + LOOKOUT_MS;
  }
});
const ready: RunnerReady = {
  kind: "ready",
  modelAddress: model.native,
  maxModelLen: size.maxModelLen,
  numCells: context.numCells,
  memory,
  embedding: embedder?.shape,
  isEncoder,
};
port.postMessage(ready);
