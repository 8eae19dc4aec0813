import { readFileSync } from "node:fs";
import { messageOf, UsageError } from "../core/index.ts";
import type { CacheOptions } from "./cache-config.ts";
import { isEnvironmentOnly } from "./known-keys.ts";
import { isMap, parseYaml } from "./yaml-text.ts";

/** One place that settings come from. */
export interface Source {
  /** As written there, by name in snake case. */
  readonly values: ReadonlyMap<string, unknown>;
  /** A name as it is written there: "LMCACHE_CHUNK_SIZE". */
  spell(name: string): string;
  /** The place of one value, for a sentence: "environment variable LMCACHE_CHUNK_SIZE". */
  placeOf(name: string): string;
  /** Whether a name that nobody knows is an error, and not a warning: in a program, where few read the log. */
  readonly isStrict?: boolean;
}

const ENVIRONMENT_PREFIX = "LMCACHE_";
const CONNECTOR_PREFIX = "lmcache.";

/** @throws UsageError when the file cannot be read or is not a map */
export function fileSource(path: string): Source {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(path, "utf8"));
  } catch (error) {
    const reason = messageOf(error).split("\n")[0]!.replace(/:$/, "");
    throw new UsageError(`Cannot read the configuration file "${path}": ${reason}`, {
      param: "LMCACHE_CONFIG_FILE",
      cause: error,
    });
  }
  // An empty file is one without settings.
  if (content !== null && !isMap(content)) {
    throw new UsageError(
      `Cannot read the configuration file "${path}": wanted a YAML map of keys and values`,
      { param: "LMCACHE_CONFIG_FILE" },
    );
  }
  return {
    values: new Map(Object.entries(content ?? {})),
    spell: (name) => name,
    placeOf: () => `file "${path}"`,
  };
}

export function environmentSource(env: Readonly<Record<string, string | undefined>>): Source {
  const values = new Map<string, unknown>();
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || text === undefined) continue;
    const name = variable.slice(ENVIRONMENT_PREFIX.length).toLowerCase();
    // An empty variable is one that a template left out.
    if (text.trim() !== "" && !isEnvironmentOnly(name)) values.set(name, unquoted(text));
  }
  const spell = environmentName;
  return { values, spell, placeOf: (name) => `environment variable ${spell(name)}` };
}

export function environmentName(key: string): string {
  return ENVIRONMENT_PREFIX + key.toUpperCase();
}

export function optionsSource(options: CacheOptions): Source {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return {
    values: new Map(given.map(([option, value]) => [snakeCase(option), value])),
    spell: optionName,
    placeOf: (name) => `option ${optionName(name)}`,
    isStrict: true,
  };
}

export function optionName(key: string): string {
  return key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The entries of `kv_connector_extra_config` that are settings of the cache. */
export function connectorSource(extraConfig: Readonly<Record<string, unknown>>): Source {
  const given = Object.entries(extraConfig).filter(([name]) => name.startsWith(CONNECTOR_PREFIX));
  const spell = (name: string): string => CONNECTOR_PREFIX + name;
  return {
    values: new Map(given.map(([name, value]) => [name.slice(CONNECTOR_PREFIX.length), value])),
    spell,
    placeOf: (name) => `kv_connector_extra_config "${spell(name)}"`,
  };
}

/** Docker's env files keep the quotes that a shell would take. */
function unquoted(text: string): string {
  return /^\s*(["'])(.*)\1\s*$/s.exec(text)?.[2] ?? text;
}

function snakeCase(option: string): string {
  return option.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
