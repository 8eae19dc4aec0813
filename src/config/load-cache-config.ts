import { UsageError } from "../core/index.ts";
import type { CacheConfig, CacheOptions } from "./cache-config.ts";
import { contradictions } from "./checks.ts";
import { isUnsupported, presentName } from "./known-keys.ts";
import { absolutePath } from "./local-disk.ts";
import { nearestName } from "./nearest-name.ts";
import { quote } from "./quote.ts";
import { settingsByKey, type Setting } from "./schema.ts";
import {
  connectorSource,
  environmentSource,
  fileSource,
  optionsSource,
  type Source,
} from "./source.ts";
import { isNothing } from "./value-type.ts";

export interface CacheConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What relative paths start from. */
  readonly cwd: string;
  /** Read in place of what LMCACHE_CONFIG_FILE names. */
  readonly file?: string | undefined;
  /** Options of the library. */
  readonly overrides?: CacheOptions | undefined;
  /** `kv_connector_extra_config` of --kv-transfer-config; entries without "lmcache." are left alone. */
  readonly connectorExtraConfig?: Readonly<Record<string, unknown>> | undefined;
}

export interface LoadedCacheConfig {
  readonly config: CacheConfig;
  /** Sentences for the log: keys that are ignored, settings that do not fit together. */
  readonly warnings: readonly string[];
  /** The keys that some source sets, as in files. */
  readonly setKeys: ReadonlySet<string>;
}

interface GivenValue {
  readonly value: unknown;
  readonly place: string;
}

/**
 * Reads every setting of the cache: default < file < environment < library and connector.
 *
 * @throws UsageError for a file, a value or an option of the library that cannot be understood
 */
export function loadCacheConfig(sources: CacheConfigSources): LoadedCacheConfig {
  const warnings: string[] = [];
  const given = new Map<string, GivenValue>();
  for (const source of inOrder(sources)) collect(source, given, warnings);

  const fields: Record<string, unknown> = {};
  for (const [key, { field, ...setting }] of settingsByKey) {
    fields[field] = readValue(setting, given.get(key));
  }
  const written = fields as unknown as CacheConfig;
  const config: CacheConfig = {
    ...written,
    localDiskPaths: written.localDiskPaths.map((path) => fullPath(path, sources)),
  };
  warnings.push(...contradictions(config));
  return { config, warnings, setKeys: new Set(given.keys()) };
}

function inOrder(sources: CacheConfigSources): Source[] {
  const file = sources.file ?? sources.env["LMCACHE_CONFIG_FILE"];
  return [
    ...(file === undefined || file.trim() === "" ? [] : [fileSource(fullPath(file, sources))]),
    environmentSource(sources.env),
    optionsSource(sources.overrides ?? {}),
    connectorSource(sources.connectorExtraConfig ?? {}),
  ];
}

function fullPath(path: string, { cwd, env }: CacheConfigSources): string {
  return absolutePath(path.trim(), cwd, env["HOME"]);
}

function collect(source: Source, given: Map<string, GivenValue>, warnings: string[]): void {
  const unsupported: string[] = [];
  for (const [name, value] of source.values) {
    const key = [name, `lmcache_${name}`].find((candidate) => settingsByKey.has(candidate));
    if (key !== undefined) {
      // Where both LMCACHE_INSTANCE_ID and LMCACHE_LMCACHE_INSTANCE_ID are set, the full name counts.
      if (name === key || !source.values.has(key)) {
        given.set(key, { value, place: source.placeOf(name) });
      }
    } else if (isKnownElsewhere(name)) {
      if (!isOff(value)) unsupported.push(withPresentName(name, source));
    } else if (source.isStrict) {
      throw unknownOption(name, source);
    } else {
      warnings.push(
        `Unknown key ${name} from ${source.placeOf(name)} is ignored${hint(name, source)}`,
      );
    }
  }
  if (unsupported.length > 0) {
    warnings.push(`Not supported here and ignored: ${unsupported.join(", ")}`);
  }
}

function isKnownElsewhere(name: string): boolean {
  return [name, `lmcache_${name}`].some((full) => isUnsupported(presentName(full) ?? full));
}

function withPresentName(name: string, source: Source): string {
  const present = presentName(name) ?? presentName(`lmcache_${name}`);
  const written = source.spell(name);
  return present === undefined ? written : `${written} (old name of ${source.spell(present)})`;
}

/** Switching off what is not there needs no warning. */
function isOff(value: unknown): boolean {
  const isScalar = ["string", "number", "boolean"].includes(typeof value);
  return isNothing(value) || (isScalar && /^\s*(false|no|off|0(\.0*)?)\s*$/i.test(String(value)));
}

function unknownOption(name: string, source: Source): UsageError {
  const option = source.spell(name);
  return new UsageError(`Unknown option ${option} of the cache${hint(name, source)}`, {
    param: option,
  });
}

function hint(name: string, source: Source): string {
  const nearest = nearestName(name, settingsByKey.keys());
  return nearest === undefined ? "" : `: did you mean ${source.spell(nearest)}?`;
}

function readValue(setting: Setting<unknown>, given: GivenValue | undefined): unknown {
  if (given === undefined || isNothing(given.value)) return setting.default;
  const result = setting.type.schema.safeParse(given.value, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  // Inside a map, the entry is what is wrong.
  const entry = issue.path.filter((part) => typeof part === "string");
  const name = [setting.key, ...entry].join(".");
  const value = entry.length > 0 ? issue.input : given.value;
  throw new UsageError(`Cannot use ${name} ${quote(value)} from ${given.place}: ${issue.message}`, {
    param: setting.key,
  });
}
