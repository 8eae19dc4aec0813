import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { UsageError } from "../core/index.ts";
import type { CacheServerFlags } from "./serve-cache.ts";
import { firstSignal } from "./shutdown.ts";

/**
 * For objects that live for a moment. V8 lets them take 50 MB on a main thread, which is half of what the server
 * may take beside its pool, and it is no faster with that. A thread can be told otherwise.
 */
const MAX_YOUNG_GENERATION_MB = 3;
/**
 * What has died among the older objects may take this share of those that live before it is collected, and some
 * megabytes at least. V8's own measure is up to 300. A V8 that does not know the flag says so and goes on.
 */
const HEAP_GROWTH = "--heap-growing-percent=30";

/**
 * Serves in a thread until a signal ends it.
 *
 * @throws UsageError for settings that cannot be
 */
export async function runCacheServer(
  flags: CacheServerFlags,
  device: string | undefined,
): Promise<void> {
  if (device !== undefined && device !== "cpu") {
    throw new UsageError(`Unsupported device "${device}": wanted "cpu"`, { param: "device" });
  }
  setFlagsFromString(HEAP_GROWTH);
  const thread = new Worker(new URL("./cache-server-thread.js", import.meta.url), {
    workerData: flags,
    resourceLimits: { maxYoungGenerationSizeMb: MAX_YOUNG_GENERATION_MB },
  });
  void firstSignal(process, () => process.exit(0)).then((signal) => thread.postMessage(signal));
  try {
    await once(thread, "exit");
  } catch (error) {
    throw asUsageError(error) ?? error;
  }
}

/** Errors come from a thread with all their fields and without their class. */
function asUsageError(error: unknown): UsageError | undefined {
  const { name, message, param } = error as Partial<UsageError>;
  if (name !== "UsageError") return undefined;
  return new UsageError(message ?? "", param === undefined ? {} : { param });
}
