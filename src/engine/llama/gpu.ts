import { type Logger, UsageError } from "../../core/index.ts";
import { PACKAGE_VERSION } from "./packages.ts";

/** What a loaded llama.cpp can do beside the processor. */
export interface GpuSupport {
  /** What the GPUs call themselves. */
  readonly devices: readonly string[];
  /** Why GPU builds that are installed do not help: one sentence each. */
  readonly problems: readonly string[];
}

/** "auto": all, where there is a GPU. "all": there must be one. */
export type GpuLayers = number | "auto" | "all";

/** llama.cpp's "all of them". */
const ALL_LAYERS = -1;

/**
 * Says what is computed where, and why not on a GPU that seems to be there.
 *
 * @returns llama.cpp's n_gpu_layers
 * @throws UsageError when layers are asked onto a GPU that cannot be had
 */
export function chooseGpuLayers(wanted: GpuLayers, gpu: GpuSupport, logger: Logger): number {
  if (wanted === 0) return 0;
  if (gpu.devices.length > 0) {
    logger.info(`Computing on ${gpu.devices.join(", ")}`);
    for (const problem of gpu.problems) logger.debug(problem);
    return typeof wanted === "number" ? wanted : ALL_LAYERS;
  }
  if (wanted === "auto") {
    for (const problem of gpu.problems) logger.warn(`Computing on the CPU: ${problem}`);
    return 0;
  }
  const why =
    gpu.problems.length > 0
      ? gpu.problems.join("; ")
      : `no GPU build of llama.cpp is installed${installHint()}`;
  throw new UsageError(
    `Cannot use --gpu-layers ${wanted}: ${why}. Wanted 0 or auto to compute on the CPU`,
    { param: "--gpu-layers" },
  );
}

function installHint(): string {
  const platform = { linux: "linux", win32: "win" }[process.platform as string];
  if (platform === undefined || process.arch !== "x64") return "";
  const [cuda, cuda12, vulkan] = ["cuda", "cuda-ext", "vulkan"].map(
    (gpu) => `@node-llama-cpp/${platform}-x64-${gpu}@${PACKAGE_VERSION}`,
  );
  return `; "npm install ${cuda} ${cuda12}" or "npm install ${vulkan}" installs one`;
}
