import { Command, Option } from "commander";
import type { LogFormat, LogLevel } from "../observability/index.ts";
import { wholeNumber } from "./flags.ts";
import { logFormatOption, logLevelOption, maxConnectionsOption } from "./server-options.ts";

/** The flags of `warmkv cache-server`, read and checked one by one. */
export interface CacheServerFlags {
  readonly host: string;
  readonly port: number;
  readonly httpHost: string;
  readonly httpPort?: number;
  readonly maxLocalCpuSize?: string;
  readonly localDisk?: string;
  readonly maxLocalDiskSize?: string;
  readonly cachePolicy?: string;
  readonly authToken?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly maxConnections: number;
  readonly shutdownTimeout: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

const HELP = `
Engines reach it as lm://<host>:<port> (remote_url); LMCache's own clients do too, as they are. What does not
fit into its memory is evicted, or kept on disk. LMCACHE_* environment variables and LMCACHE_CONFIG_FILE are
read as for "warmkv serve"; flags win over them.

Examples:
  warmkv cache-server
  warmkv cache-server 0.0.0.0 65432
  warmkv cache-server --max-local-cpu-size 20 --local-disk /var/cache/kv --max-local-disk-size 200
  warmkv cache-server --cache-policy ADAPTIVE --http-port 9100
  WARMKV_AUTH_TOKEN=secret warmkv cache-server --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem`;

/** `warmkv cache-server [host] [port] [device]` */
export function serveCacheCommand(): Command {
  return new Command("cache-server")
    .argument("[host]", "as --host, for those who know lmcache_server")
    .argument("[port]", "as --port", port("port"))
    .argument("[device]", 'where to keep the cache: "cpu"')
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--port <port>", "port; 0 takes a free one", port("--port"), 65_432)
    .option("--max-local-cpu-size <size>", "RAM for everything, in GB or with a unit (default: 5)")
    .option("--local-disk <directory>", "keep values in this directory too (default: none)")
    .option("--max-local-disk-size <size>", "disk space for them, in GB or with a unit")
    .option("--cache-policy <name>", "LRU, LFU, FIFO, MRU or ADAPTIVE (default: LRU)")
    .option("--http-port <port>", "serve /health, /ready, /metrics and /stats", port("--http-port"))
    .option("--http-host <host>", "address for that", "127.0.0.1")
    .addOption(
      new Option("--auth-token <secret>", "what clients must know").env("WARMKV_AUTH_TOKEN"),
    )
    .option("--tls-cert <file>", "speak TLS with this certificate (PEM)")
    .option("--tls-key <file>", "and its key (PEM)")
    .option("--tls-ca <file>", "ask clients for a certificate that this one has signed (PEM)")
    .addOption(maxConnectionsOption())
    .option(
      "--shutdown-timeout <seconds>",
      "how long SIGTERM and Ctrl-C let transfers go on; a second one ends at once",
      wholeNumber("--shutdown-timeout", 0, 86_400),
      10,
    )
    .addOption(logLevelOption().default("info"))
    .addOption(logFormatOption())
    .addHelpText("after", HELP)
    .action(
      async (
        host: string | undefined,
        portNumber: number | undefined,
        device: string | undefined,
        flags: CacheServerFlags,
      ) => {
        const { runCacheServer } = await import("./run-cache-server.ts");
        await runCacheServer(
          { ...flags, host: host ?? flags.host, port: portNumber ?? flags.port },
          device,
        );
      },
    );
}

function port(name: string): (text: string) => number {
  return wholeNumber(name, 0, 65_535);
}
