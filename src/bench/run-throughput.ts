import { systemClock, UsageError } from "../core/index.ts";
import {
  type BenchServer,
  connectServer,
  DEFAULT_MODEL,
  hasCacheSettings,
  SPARE_TOKENS,
  startOwnServer,
} from "./bench-server.ts";
import { observeMachine } from "./machine.ts";
import type { Progress } from "./progress.ts";
import { type CutPrompt, cutPrompt, freshHeading, readBundledText } from "./prompt-text.ts";
import { clientsOf, makeThroughputReport, type ThroughputReport } from "./throughput-report.ts";
import { type DecodeSample, type PrefillSample, ThroughputTarget } from "./throughput-target.ts";
import { estimateTokens, serverTokenCounter } from "./token-counter.ts";

export interface ThroughputSettings {
  /** A server that runs already; undefined to start one. */
  readonly url: string | undefined;
  /** Servers to compare with. */
  readonly peerUrls: readonly string[];
  /** For all servers that run already. */
  readonly apiKey: string;
  /** What to serve; with a URL, the name to ask for. */
  readonly model: string | undefined;
  /** How many at once, one after the other. */
  readonly numClients: readonly number[];
  readonly numPromptTokens: number;
  readonly maxTokens: number;
  readonly numPrefillTokens: number;
  readonly numRounds: number;
  readonly numThreads: number;
  readonly serveArgs: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** A server and what was measured of it. */
interface Entrant {
  readonly name: string;
  readonly server: BenchServer;
  readonly target: ThroughputTarget;
  readonly decodes: readonly { readonly numClients: number; readonly samples: DecodeSample[] }[];
  readonly prefills: PrefillSample[];
}

/** For answers of the round that is not counted: then a server's code is compiled. */
const WARM_UP_TOKENS = 64;
const GREETING = "Good morning";

/** Decode with each number of clients, and prefill, of one server alone or of several in turns. */
export async function runThroughput(settings: ThroughputSettings): Promise<ThroughputReport> {
  const { progress, numRounds, signal } = settings;
  const startedAt = new Date().toISOString();
  const describeMachine = observeMachine();
  const peers: BenchServer[] = [];
  for (const url of settings.peerUrls) {
    peers.push(await connectServer({ url, apiKey: settings.apiKey, signal }));
  }
  await using ours = await openServer(settings);
  const entrants = [ours, ...peers].map((server) => enter(server, settings));
  const repeated = entrants.find(({ name }, at) =>
    entrants.some((e, i) => i < at && e.name === name),
  );
  if (repeated) throw new UsageError(`Cannot compare ${repeated.name} with itself`);
  const nextPrompt = await greetAll(entrants, signal);
  // One round before the others is not counted.
  for (let round = -1; round < numRounds; round++) {
    await runRound(round, entrants, nextPrompt, settings);
  }
  progress.hide();
  return makeThroughputReport({
    startedAt,
    machine: describeMachine(),
    numPromptTokens: settings.numPromptTokens,
    maxTokens: settings.maxTokens,
    numPrefillTokens: settings.numPrefillTokens,
    numRounds,
    samples: entrants.map(({ name, server, decodes, prefills }) => {
      const { baseUrl, model, args } = server;
      return { name, url: baseUrl, model, args, decodes, prefills };
    }),
  });
}

function openServer(settings: ThroughputSettings): Promise<BenchServer> {
  const { url, apiKey, numThreads, env, signal, progress } = settings;
  if (url !== undefined) return connectServer({ url, apiKey, model: settings.model, signal });
  const model = settings.model ?? DEFAULT_MODEL;
  progress.show(`starting warmkv serve ${model}`);
  const numTokens = Math.max(
    settings.numPromptTokens + settings.maxTokens,
    settings.numPrefillTokens + 1,
  );
  return startOwnServer({
    model,
    maxModelLen: numTokens + SPARE_TOKENS,
    numThreads,
    isCacheOn: hasCacheSettings(env),
    serveArgs: [`--max-num-seqs=${Math.max(...settings.numClients)}`, ...settings.serveArgs],
    env,
    signal,
  });
}

function enter(server: BenchServer, { numClients, signal }: ThroughputSettings): Entrant {
  return {
    name: server.args ? "warmkv" : server.baseUrl.replace(/^https?:\/\//, "").replace(/\/v1$/, ""),
    server,
    target: new ThroughputTarget(server, systemClock, signal),
    decodes: numClients.map((each) => ({ numClients: each, samples: [] })),
    prefills: [],
  };
}

type PromptSource = (numTokens: number) => Promise<CutPrompt>;

/** @returns what makes prompts that no server has seen, as long as the first server counts */
async function greetAll(entrants: readonly Entrant[], signal: AbortSignal): Promise<PromptSource> {
  const [first, ...others] = entrants;
  const { numPromptTokens } = await first!.target.greet(GREETING);
  for (const { target } of others) await target.greet(GREETING);
  const countTokens =
    (await serverTokenCounter(first!.server, signal)) ?? estimateTokens(GREETING, numPromptTokens);
  const source = await readBundledText();
  return (numTokens) => cutPrompt(source, freshHeading(), numTokens, countTokens);
}

/** @param round below 0: not counted */
async function runRound(
  round: number,
  entrants: readonly Entrant[],
  nextPrompt: PromptSource,
  settings: ThroughputSettings,
): Promise<void> {
  const { numRounds, progress, signal } = settings;
  const isCounted = round >= 0;
  const maxTokens = isCounted ? settings.maxTokens : Math.min(settings.maxTokens, WARM_UP_TOKENS);
  // Who goes first alternates: what drifts on the machine hits all alike.
  const order = round % 2 === 0 ? entrants : entrants.toReversed();
  const show = (job: string, { name }: Entrant): void => {
    signal.throwIfAborted();
    const place = isCounted ? `round ${round + 1} of ${numRounds}` : "warming up";
    progress.show(`${name}: ${job}, ${place}`);
  };

  for (const [index, numClients] of settings.numClients.entries()) {
    const prompts: CutPrompt[] = [];
    while (prompts.length < numClients) prompts.push(await nextPrompt(settings.numPromptTokens));
    for (const entrant of order) {
      show(`decode, ${clientsOf(numClients)}`, entrant);
      const sample = await entrant.target.decode(prompts, maxTokens);
      if (isCounted) entrant.decodes[index]!.samples.push(sample);
    }
  }
  const prompt = await nextPrompt(settings.numPrefillTokens);
  for (const entrant of order) {
    show("prefill", entrant);
    const sample = await entrant.target.prefill(prompt);
    if (isCounted) entrant.prefills.push(sample);
  }
}
