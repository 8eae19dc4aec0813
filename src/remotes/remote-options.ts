import type { ConnectionOptions } from "node:tls";
import type { Clock, Logger } from "../core/index.ts";

/** What every remote is opened with, whatever its scheme. */
export interface RemoteOptions {
  /** For connecting, and the longest silence of the peer in the middle of an exchange. */
  readonly timeoutMs: number;
  /** Per server. */
  readonly maxConnections: number;
  /** A secret that is in no URL, for protocols that have one. */
  readonly token?: string | undefined;
  /** Certificates and the like. Whether TLS is spoken at all is what the URL says. */
  readonly tls?: ConnectionOptions | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  /** [0, 1), for jitter. */
  readonly random: () => number;
}
