import { Command, Option } from "commander";
import { GiB, formatBytes, parseSizeBytes } from "../core/index.ts";
import type { LogFormat, LogLevel } from "../observability/index.ts";
import { wholeNumber } from "./flags.ts";
import { logFormatOption, logLevelOption, maxConnectionsOption } from "./server-options.ts";

interface InfinistoreServerFlags {
  readonly host: string;
  readonly port: number;
  readonly maxLocalCpuSize: number;
  readonly maxConnections: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

const DEFAULT_SIZE_BYTES = 5 * GiB;
/** A client may be silent for so long. */
const IDLE_MS = 600_000;
/** For one value, whose memory is held meanwhile. */
const TRANSFER_MS = 60_000;

const HELP = `
InfiniStore's TCP mode, without RDMA; engines reach it as infinistore://<host>:<port> (remote_url). Its protocol has
no password: keep the port in a network of its own. "warmkv cache-server" is the better choice where either will do.

Examples:
  warmkv infinistore-server
  warmkv infinistore-server --host 0.0.0.0 --max-local-cpu-size 20`;

/** `warmkv infinistore-server` */
export function serveInfinistoreCommand(): Command {
  return new Command("infinistore-server")
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--port <port>", "port; 0 takes a free one", wholeNumber("--port", 0, 65_535), 22_345)
    .addOption(
      new Option("--max-local-cpu-size <size>", "RAM for values, in GB or with a unit")
        .argParser((text) => parseSizeBytes(text, "--max-local-cpu-size"))
        .default(DEFAULT_SIZE_BYTES, "5"),
    )
    .addOption(maxConnectionsOption())
    .addOption(logLevelOption().default("info"))
    .addOption(logFormatOption())
    .addHelpText("after", HELP)
    .action(serveInfinistore);
}

async function serveInfinistore(flags: InfinistoreServerFlags): Promise<void> {
  const { InfinistoreServer, MemoryValueStorage } = await import("../infinistore-server/index.ts");
  const { createLogger } = await import("../observability/index.ts");
  const { firstSignal } = await import("./shutdown.ts");
  const logger = createLogger({ level: flags.logLevel, format: flags.logFormat });
  await using server = new InfinistoreServer({
    storage: new MemoryValueStorage(flags.maxLocalCpuSize),
    logger,
    maxConnections: flags.maxConnections,
    idleMs: IDLE_MS,
    transferMs: TRANSFER_MS,
  });
  const { address, port } = await server.listen(flags.port, flags.host);
  logger.info(`Server started at ${address}:${port}`);
  logger.info(`Room for values: ${formatBytes(flags.maxLocalCpuSize)} of RAM (LRU)`);
  logger.info(`Received ${await firstSignal(process, () => process.exit(0))}`);
}
