import { totalmem } from "node:os";
import { DEFAULT_LOCAL_CPU_BYTES } from "../config/index.ts";
import { type Logger, UsageError, formatBytes, messageOf } from "../core/index.ts";
import { HeapMemory, MappedMemory, MemoryPool, type PoolMemory } from "../memory/index.ts";

/**
 * A pool in native memory, or in ordinary memory where there is no other. Returns at once; the pages are
 * faulted in and pinned behind it.
 *
 * The default size gives way to a small machine; a size that somebody asked for does not.
 *
 * @param machineBytes what this process may have at most
 * @throws UsageError when not one chunk fits, or when the machine has less: filling it would end the process
 */
export function createPool(
  numBytes: number,
  slabBytes: number,
  logger: Logger,
  machineBytes: number = memoryOfMachine(),
): MemoryPool {
  if (numBytes === DEFAULT_LOCAL_CPU_BYTES && numBytes > machineBytes / 2) {
    numBytes = Math.floor(machineBytes / 2);
    logger.warn(
      `max_local_cpu_size is ${formatBytes(numBytes)}, half of this machine's memory, and not the usual ` +
        formatBytes(DEFAULT_LOCAL_CPU_BYTES),
    );
  }
  if (numBytes > machineBytes) {
    throw new UsageError(
      `Cannot use max_local_cpu_size of ${formatBytes(numBytes)}: ` +
        `wanted less than the memory that there is, ${formatBytes(machineBytes)}`,
      { param: "max_local_cpu_size" },
    );
  }
  if (numBytes < slabBytes) {
    throw new UsageError(
      `Cannot use max_local_cpu_size of ${formatBytes(numBytes)}: ` +
        `wanted room for one chunk at least, which takes ${formatBytes(slabBytes)}`,
      { param: "max_local_cpu_size" },
    );
  }
  const memory = createMemory(numBytes - (numBytes % slabBytes), logger);
  const pool = new MemoryPool(memory, slabBytes);
  memory.pin().then(
    (refusal) => refusal !== undefined && logger.warn(refusal),
    (error: unknown) => logger.warn(`Cannot pin the pool: ${messageOf(error)}`),
  );
  return pool;
}

function createMemory(numBytes: number, logger: Logger): PoolMemory {
  try {
    return new MappedMemory(numBytes);
  } catch (error) {
    logger.warn(
      `${messageOf(error)}: keeping chunks in ordinary memory, which no engine can reach`,
    );
    return new HeapMemory(numBytes);
  }
}

/** In a container, its limit. */
function memoryOfMachine(): number {
  const limit = process.constrainedMemory() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
