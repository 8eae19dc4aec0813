import { silentLogger, systemClock } from "../../../src/core/index.ts";
import type { RemoteOptions } from "../../../src/remotes/remote-options.ts";

export const remoteTestOptions: RemoteOptions = {
  timeoutMs: 2000,
  maxConnections: 4,
  logger: silentLogger,
  clock: systemClock,
  random: () => 0,
};
