import type { CacheConfig } from "./cache-config.ts";
import { HIDDEN, maskEntries, maskSecrets } from "./quote.ts";
import { settings, type Setting } from "./schema.ts";

/** The whole configuration for a log: one line per key, sizes as "5.0 GB", secrets hidden. */
export function describeConfig(config: CacheConfig): string {
  const shown: CacheConfig = {
    ...config,
    extraConfig: {
      ...config.extraConfig,
      remoteToken: config.extraConfig.remoteToken && HIDDEN,
      rest: maskEntries(config.extraConfig.rest) as Record<string, unknown>,
    },
  };
  const lines = (Object.keys(settings) as (keyof CacheConfig)[]).map((field) => {
    const setting = settings[field] as Setting<unknown>;
    return `  ${setting.key}: ${maskSecrets(showValue(setting, shown[field]))}`;
  });
  return `LMCache Configuration: {\n${lines.join("\n")}\n}`;
}

/** A value of a setting with its unit. */
export function showValue(setting: Setting<unknown>, value: unknown): string {
  if (value === undefined) return "None";
  const written = setting.type.show(value as NonNullable<unknown>);
  if (written === "") return "None";
  const unit = { size: " GB", seconds: " s" }[setting.type.name] ?? "";
  return written + unit;
}
