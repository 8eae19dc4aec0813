import { formatBytes } from "../core/index.ts";
import { type FloorMove, floorMove } from "./floor.ts";
import { formatCount, formatMs, formatSooner } from "./format.ts";
import type { QueryTwiceReport } from "./query-twice-report.ts";
import type { Summary } from "./statistics.ts";

const LABEL_WIDTH = 10;
const MOVES: Readonly<Record<FloorMove, string>> = {
  copy: "copying",
  read: "reading",
  transfer: "fetching over plain TCP",
};

/** The report as people read it in a terminal. */
export function queryTwiceTable(report: QueryTwiceReport): string {
  const { rounds, floor } = report;
  const numPromptTokens = formatCount(rounds[0]!.numPromptTokens);
  const coldHits = rounds.map(({ cold }) => cold.numCachedTokens);
  const numColdHits = coldHits.every((hit) => hit !== undefined)
    ? Math.max(...coldHits)
    : undefined;
  const lines = [
    row(
      "prompt",
      `${numPromptTokens} tokens, ${rounds.length === 1 ? "one round" : `${rounds.length} rounds`}`,
    ),
    row("cold", `${ttft(report.coldTtftMs)}   ${hits(numColdHits, numPromptTokens)}`),
    row("warm", `${ttft(report.warmTtftMs)}   ${hits(report.numHitTokens, numPromptTokens)}`),
  ];
  if (floor) {
    const move = `${MOVES[floorMove(floor)]} ${formatBytes(floor.kvBytes)} ${formatMs(floor.totalMs - floor.decodeMs)}`;
    const text = `${move} + one decode step ${formatMs(floor.decodeMs)}`;
    lines.push(row("floor", `${formatMs(floor.totalMs).padStart(9)}   ${text}`));
    const { warmWireTtftMs, warmWireOverFloor = 0 } = report;
    lines.push(
      row(
        "wire",
        `${formatMs(warmWireTtftMs.median).padStart(9)}   warm without the client's own time: ${warmWireOverFloor.toFixed(2)} times the floor`,
      ),
    );
    const overFloor = (floor.libraryMs / floor.totalMs).toFixed(2);
    lines.push(
      row(
        "library",
        `${formatMs(floor.libraryMs).padStart(9)}   warm from RAM without HTTP, in one process: ${overFloor} times the floor`,
      ),
    );
  }
  lines.push("", row("ratio", `${formatSooner(report.coldOverWarm)}${overFloor(report)}`));
  lines.push(row("answer", report.isAnswerEqual ? "the same tokens both times" : "DIFFERENT"));
  if (report.interTokenMs !== undefined) {
    lines.push(row("decode", `${formatMs(report.interTokenMs)} from one token to the next`));
  }
  return lines.join("\n");
}

function row(label: string, text: string): string {
  return `  ${label.padEnd(LABEL_WIDTH)}${text}`;
}

function ttft({ median, min, max, count }: Summary): string {
  const spread = count > 1 ? ` (${formatMs(min)} to ${formatMs(max)})` : "";
  return `${formatMs(median).padStart(9)} to the first token${spread}`;
}

function hits(numHitTokens: number | undefined, numPromptTokens: string): string {
  if (numHitTokens === undefined) return "hit tokens not reported by this server";
  return `${formatCount(numHitTokens)} of ${numPromptTokens} tokens from the cache`;
}

function overFloor({ warmOverFloor }: QueryTwiceReport): string {
  return warmOverFloor === undefined ? "" : `; warm is ${warmOverFloor.toFixed(2)} times the floor`;
}
