import { UsageError } from "../../../src/core/index.ts";
import {
  loadCacheConfig,
  type CacheConfig,
  type LoadedCacheConfig,
} from "../../../src/config/index.ts";

export const CWD = "/srv/app";
export const HOME = "/home/ada";

/** Loads from environment variables alone, with a fixed working directory and home. */
export function fromEnv(env: Record<string, string>): LoadedCacheConfig {
  return loadCacheConfig({ env: { HOME, ...env }, cwd: CWD });
}

/** The one field that a test is about. */
export function fieldFromEnv(field: keyof CacheConfig, variable: string, text: string): unknown {
  return fromEnv({ [variable]: text }).config[field];
}

export function usageErrorOf(run: () => unknown): UsageError {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error("Expected a UsageError");
}
