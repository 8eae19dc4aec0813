import { readFileSync } from "node:fs";
import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { type ServerTls, openCacheServer } from "../cache-server/index.ts";
import { type CacheConfig, loadCacheConfig } from "../config/index.ts";
import { type Logger, UsageError, formatBytes, messageOf } from "../core/index.ts";
import { createLogger } from "../observability/index.ts";
import type { CacheServerFlags } from "./serve-cache.ts";

const flags = workerData as CacheServerFlags;
const port = parentPort!;

const logger = createLogger({ level: flags.logLevel, format: flags.logFormat });
const config = readConfig(flags, logger);
const server = await openCacheServer({
  host: flags.host,
  port: flags.port,
  httpHost: flags.httpHost,
  httpPort: flags.httpPort,
  authToken: flags.authToken,
  tls: readTls(flags),
  maxConnections: flags.maxConnections,
  maxLocalCpuSizeBytes: config.maxLocalCpuSizeBytes,
  localDiskPaths: config.localDiskPaths,
  maxLocalDiskSizeBytes: config.maxLocalDiskSizeBytes,
  useOdirect: config.extraConfig.useOdirect,
  diskIoThreads: config.extraConfig.diskIoThreads,
  cachePolicy: config.cachePolicy,
  logger,
});
logger.info(`Server started at ${server.url.slice("lm://".length)}`);
logger.info(describeRoom(config));
if (server.httpUrl !== undefined) logger.info(`Admin endpoints at ${server.httpUrl}`);

const [signal] = (await once(port, "message")) as [string];
logger.info(`Received ${signal}: transfers under way have ${flags.shutdownTimeout} s to end`);
await server.close(flags.shutdownTimeout * 1000);

function readConfig(flags: CacheServerFlags, logger: Logger): CacheConfig {
  const { maxLocalCpuSize, localDisk, maxLocalDiskSize, cachePolicy } = flags;
  const { config, warnings } = loadCacheConfig({
    env: process.env,
    cwd: process.cwd(),
    overrides: { maxLocalCpuSize, localDisk, maxLocalDiskSize, cachePolicy },
  });
  if (localDisk !== undefined && config.maxLocalDiskSizeBytes === 0) {
    throw new UsageError(
      `Cannot use --local-disk "${localDisk}" without --max-local-disk-size: wanted a bound, such as 50`,
      { param: "--max-local-disk-size" },
    );
  }
  for (const warning of warnings) logger.warn(warning);
  return config;
}

function describeRoom(config: CacheConfig): string {
  const ram = `${formatBytes(config.maxLocalCpuSizeBytes)} of RAM`;
  const hasDisk = config.localDiskPaths.length > 0 && config.maxLocalDiskSizeBytes > 0;
  const disk = `, ${formatBytes(config.maxLocalDiskSizeBytes)} in ${config.localDiskPaths.join(", ")}`;
  return `Room for values: ${ram}${hasDisk ? disk : ""} (${config.cachePolicy})`;
}

function readTls({ tlsCert, tlsKey, tlsCa }: CacheServerFlags): ServerTls | undefined {
  if (tlsCert === undefined && tlsKey === undefined && tlsCa === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new UsageError("Cannot speak TLS: wanted both --tls-cert and --tls-key", {
      param: tlsCert === undefined ? "--tls-cert" : "--tls-key",
    });
  }
  return {
    cert: readFile("--tls-cert", tlsCert),
    key: readFile("--tls-key", tlsKey),
    ca: tlsCa === undefined ? undefined : readFile("--tls-ca", tlsCa),
  };
}

function readFile(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new UsageError(`Cannot read ${flag} "${file}": ${messageOf(cause)}`, {
      param: flag,
      cause,
    });
  }
}
