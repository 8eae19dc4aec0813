import type { Machine } from "./machine.ts";
import { median, quantile, type Summary, summarize } from "./statistics.ts";
import type { DecodeSample, PrefillSample } from "./throughput-target.ts";

/** What `warmkv bench throughput --json` writes. */
export interface ThroughputReport {
  readonly benchmark: "throughput";
  readonly version: 1;
  readonly startedAt: string;
  readonly machine: Machine;
  readonly numPromptTokens: number;
  readonly maxTokens: number;
  readonly numPrefillTokens: number;
  readonly numRounds: number;
  /** The first is the one that is compared, the others are its peers. */
  readonly servers: readonly ServerThroughput[];
  /** One for each peer. */
  readonly ratios: readonly ThroughputRatio[];
}

export interface ServerThroughput {
  readonly name: string;
  readonly url: string;
  readonly model: string;
  /** How it was started; undefined for one that ran already. */
  readonly args: readonly string[] | undefined;
  /** One for each number of clients. */
  readonly decodes: readonly DecodeThroughput[];
  readonly prefill: PrefillThroughput;
}

export interface DecodeThroughput {
  readonly numClients: number;
  /** While all clients decode. Undefined when there was no such moment in any round. */
  readonly decodeTokensPerSecond: Summary | undefined;
  /** From the first request to the last token, prompts included. */
  readonly wholeTokensPerSecond: Summary;
  /** From one event of a client to its next, while all clients decode, in all rounds. */
  readonly interTokenMs: { readonly median: number; readonly p99: number } | undefined;
  /** Of the shortest answer. */
  readonly numTokens: number;
  /** Rounds in which all clients decoded at the same time. */
  readonly numSteadyRounds: number;
}

export interface PrefillThroughput {
  /** Of what was computed, up to the first token. */
  readonly tokensPerSecond: Summary;
  readonly ttftMs: Summary;
  readonly numPromptTokens: number;
  /** The most of any prompt; undefined where the server does not report them. */
  readonly numCachedTokens: number | undefined;
}

/** Medians of the first server over those of a peer: 0.9 is a tenth slower. */
export interface ThroughputRatio {
  readonly peer: string;
  readonly decodes: readonly {
    readonly numClients: number;
    readonly decode: number | undefined;
    readonly whole: number;
  }[];
  readonly prefill: number;
}

/** One server in all rounds. */
export interface ServerSamples extends Pick<ServerThroughput, "name" | "url" | "model" | "args"> {
  readonly decodes: readonly { readonly numClients: number; readonly samples: DecodeSample[] }[];
  readonly prefills: PrefillSample[];
}

type Measured = Omit<ThroughputReport, "benchmark" | "version" | "servers" | "ratios"> & {
  readonly samples: readonly ServerSamples[];
};

export function makeThroughputReport({ samples, ...measured }: Measured): ThroughputReport {
  const servers = samples.map(({ decodes, prefills, ...server }) => ({
    ...server,
    decodes: decodes.map((each) => decodeThroughput(each.numClients, each.samples)),
    prefill: prefillThroughput(prefills),
  }));
  const [ours, ...peers] = servers;
  return {
    benchmark: "throughput",
    version: 1,
    ...measured,
    servers,
    ratios: peers.map((peer) => throughputRatio(ours!, peer)),
  };
}

function decodeThroughput(numClients: number, samples: readonly DecodeSample[]): DecodeThroughput {
  const steady = samples.flatMap(({ decodeTokensPerSecond }) => decodeTokensPerSecond ?? []);
  const waitsMs = samples.flatMap((sample) => sample.waitsMs);
  return {
    numClients,
    decodeTokensPerSecond: steady.length === 0 ? undefined : summarize(steady),
    wholeTokensPerSecond: summarize(samples.map((sample) => sample.wholeTokensPerSecond)),
    interTokenMs:
      waitsMs.length === 0 ? undefined : { median: median(waitsMs), p99: quantile(waitsMs, 0.99) },
    numTokens: Math.min(...samples.map(({ numTokens }) => numTokens)),
    numSteadyRounds: steady.length,
  };
}

function prefillThroughput(samples: readonly PrefillSample[]): PrefillThroughput {
  const cached = samples.flatMap(({ numCachedTokens }) => numCachedTokens ?? []);
  return {
    tokensPerSecond: summarize(samples.map(({ tokensPerSecond }) => tokensPerSecond)),
    ttftMs: summarize(samples.map(({ ttftMs }) => ttftMs)),
    numPromptTokens: Math.max(...samples.map(({ numPromptTokens }) => numPromptTokens)),
    numCachedTokens: cached.length === 0 ? undefined : Math.max(...cached),
  };
}

function throughputRatio(ours: ServerThroughput, peer: ServerThroughput): ThroughputRatio {
  return {
    peer: peer.name,
    decodes: ours.decodes.map(({ numClients, ...decode }, index) => {
      const other = peer.decodes[index]!;
      return {
        numClients,
        decode:
          decode.decodeTokensPerSecond &&
          other.decodeTokensPerSecond &&
          decode.decodeTokensPerSecond.median / other.decodeTokensPerSecond.median,
        whole: decode.wholeTokensPerSecond.median / other.wholeTokensPerSecond.median,
      };
    }),
    prefill: ours.prefill.tokensPerSecond.median / peer.prefill.tokensPerSecond.median,
  };
}

/** What every prompt of a vocabulary begins with, and first letters that are alike by chance. */
const MAX_CACHED_SHARE = 0.02;

/** Sentences about what makes the figures no measure of a server. */
export function throughputFailures(report: ThroughputReport): string[] {
  const { maxTokens, numRounds } = report;
  return report.servers.flatMap(({ name, decodes, prefill }) => {
    const sentences = decodes.flatMap(({ numClients, numTokens, numSteadyRounds }) => {
      const clients = clientsOf(numClients);
      if (numTokens < maxTokens) {
        return `${name} answered only ${numTokens} of ${maxTokens} tokens with ${clients}.`;
      }
      if (numSteadyRounds < numRounds) {
        return `${name} never decoded for ${clients} at the same time in ${numRounds - numSteadyRounds} of ${numRounds} rounds: it needs more --max-tokens, or room for ${clients}.`;
      }
      return [];
    });
    const { numCachedTokens = 0, numPromptTokens } = prefill;
    if (numCachedTokens > numPromptTokens * MAX_CACHED_SHARE) {
      sentences.push(
        `${name} took ${numCachedTokens} of ${numPromptTokens} tokens of a new prompt from a cache.`,
      );
    }
    return sentences;
  });
}

/** 1 -> "1 client". */
export function clientsOf(numClients: number): string {
  return numClients === 1 ? "1 client" : `${numClients} clients`;
}
