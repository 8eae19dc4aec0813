import type { TierStatus } from "../cache/index.ts";
import type { Command, CutReason, DropReason } from "./traffic.ts";

/** Counters since the start and levels now, as GET /stats tells them. */
export interface CacheServerStats {
  readonly uptimeMs: number;
  readonly numConnections: number;
  /** Since the start. */
  readonly numConnectionsAccepted: number;
  readonly numRequests: Readonly<Record<Command, number>>;
  /** GETs that brought a value, and those that did not. */
  readonly numHits: number;
  readonly numMisses: number;
  /** Of values; headers are not counted. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Values that were put and are not stored. */
  readonly numDropped: Readonly<Record<DropReason, number>>;
  /** Connections that the server closed. */
  readonly numCut: Readonly<Record<CutReason, number>>;
  readonly pool: {
    readonly capacityBytes: number;
    readonly usedBytes: number;
    readonly peakUsedBytes: number;
    /** Of values on their way in. */
    readonly incomingBytes: number;
  };
  /** By their names. */
  readonly tiers: Readonly<Record<string, TierStatus>>;
}
