import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteStore } from "../remote-store.ts";
import { MooncakeRemote } from "./mooncake-remote.ts";
import {
  type MooncakeConfig,
  readMooncakeConfigFile,
  readMooncakeSettings,
} from "./mooncake-settings.ts";

export interface MooncakeOptions extends RemoteOptions {
  /** LMCache's `extra_config`. */
  readonly extraConfig?: MooncakeConfig | undefined;
  /** What MOONCAKE_CONFIG_PATH names: a JSON file, in place of `extraConfig`. */
  readonly configPath?: string | undefined;
}

/**
 * `mooncakestore://host:port`: Mooncake's distributed store over TCP, as a client that lends no memory of its own.
 * Connects when first used.
 *
 * @throws UsageError for settings that cannot be
 */
export async function openMooncakeRemote(
  url: string,
  options: MooncakeOptions,
): Promise<RemoteStore> {
  const { configPath, extraConfig } = options;
  const config =
    configPath === undefined ? (extraConfig ?? {}) : await readMooncakeConfigFile(configPath);
  return new MooncakeRemote(readMooncakeSettings(url, config), options);
}
