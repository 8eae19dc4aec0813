/** What metrics tell of one tier: the tier's own `stats()` under its name. */
export interface TierLevels {
  /** "LocalCPUBackend", "LocalDiskBackend", "RemoteBackend". */
  readonly name: string;
  readonly numChunks: number;
  readonly usedBytes: number;
  readonly capacityBytes: number;
  readonly numHits: number;
  readonly numMisses: number;
  /** False while it is away. */
  readonly isUp: boolean;
}
