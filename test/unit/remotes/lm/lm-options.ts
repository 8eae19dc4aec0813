import { silentLogger, systemClock } from "../../../../src/core/index.ts";
import type { RemoteOptions } from "../../../../src/remotes/remote-options.ts";

export const lmOptions: RemoteOptions = {
  timeoutMs: 5000,
  maxConnections: 4,
  logger: silentLogger,
  clock: systemClock,
  random: Math.random,
};
