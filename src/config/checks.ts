import type { CacheConfig, TierName } from "./cache-config.ts";
import { extraSettings } from "./extra-config.ts";
import { nameDistance } from "./nearest-name.ts";

/** Settings that are right one by one and do not fit together, as warnings. */
export function contradictions(config: CacheConfig): string[] {
  const warnings: string[] = [];
  const hasPaths = config.localDiskPaths.length > 0;
  const hasDiskSize = config.maxLocalDiskSizeBytes > 0;
  const isOn: Record<TierName, boolean> = {
    LocalCPUBackend: config.localCpu,
    LocalDiskBackend: hasPaths && hasDiskSize,
    RemoteBackend: config.remoteUrl !== undefined,
  };
  if (hasPaths && !hasDiskSize) {
    warnings.push("local_disk is set but max_local_disk_size is 0: the disk tier stays off");
  }
  if (hasDiskSize && !hasPaths) {
    warnings.push("max_local_disk_size is set but local_disk is not: the disk tier stays off");
  }
  if (!Object.values(isOn).includes(true)) {
    warnings.push("local_cpu is false and there is no other tier: nothing will be cached");
  }
  if (config.storeLocation !== undefined && !isOn[config.storeLocation]) {
    warnings.push(
      `store_location is ${config.storeLocation}, which is off: nothing will be stored`,
    );
  }
  for (const tier of config.retrieveLocations ?? []) {
    if (!isOn[tier]) warnings.push(`retrieve_locations names ${tier}, which is off`);
  }
  if (config.remoteSerde !== "naive" && !isOn.RemoteBackend) {
    warnings.push(
      `remote_serde is ${config.remoteSerde} but remote_url is not set: it has no effect`,
    );
  }
  if (["cachegen", "kivi"].includes(config.remoteSerde) && isOn.RemoteBackend) {
    warnings.push(
      `remote_serde ${config.remoteSerde} is not available here: chunks are stored as they are (naive)`,
    );
  }
  return [...warnings, ...misspelt(Object.keys(config.extraConfig.rest))];
}

/** Any key is allowed in extra_config, so only those that nearly are one of ours are suspect. */
function misspelt(keys: readonly string[]): string[] {
  const known = Object.keys(extraSettings);
  return keys.flatMap((key) => {
    const meant = known.find((name) => nameDistance(key, name) <= 2);
    return meant === undefined
      ? []
      : [`Unknown key ${key} in extra_config: did you mean ${meant}?`];
  });
}
