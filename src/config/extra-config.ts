import { z } from "zod";
import type { ExtraConfig } from "./cache-config.ts";
import { boolean, integer, isNothing, text, type ValueType } from "./value-type.ts";
import { readMap } from "./yaml-text.ts";

const WANTED =
  "wanted a map, as YAML, JSON or a Python dict in quotes, such as '{\"use_odirect\": true}'";

/** More threads than this only wait for each other. */
const MAX_DISK_IO_THREADS = 256;
/** One connection fills a fast network; a few keep it full and let lookups pass. */
const MAX_REMOTE_CONNECTIONS = 64;

/** An engine that has died must not be waited for. */
const MAX_REMOTE_CLAIM_MS = 600_000;

interface ExtraSetting<Value> {
  readonly type: ValueType<NonNullable<Value>>;
  readonly default: Value;
  readonly doc: string;
}

type KnownEntries = Omit<ExtraConfig, "rest">;

/** The entries that are read here, by their fields; remote tiers may read others. */
const knownEntries: {
  readonly [Field in keyof KnownEntries]: ExtraSetting<KnownEntries[Field]> & {
    readonly key: string;
  };
} = {
  useOdirect: {
    key: "use_odirect",
    type: boolean,
    default: false,
    doc: "Read and write the disk tier past the page cache.",
  },
  diskIoThreads: {
    key: "disk_io_threads",
    type: integer({ minimum: 1, maximum: MAX_DISK_IO_THREADS }),
    default: 4,
    doc: "Reads and writes of the disk tier at the same time.",
  },
  remoteMaxConnections: {
    key: "remote_max_connections",
    type: integer({ minimum: 1, maximum: MAX_REMOTE_CONNECTIONS }),
    default: 4,
    doc: "Connections to each server of the remote tier.",
  },
  remoteClaimMs: {
    key: "remote_claim_ms",
    type: integer({ minimum: 0, maximum: MAX_REMOTE_CLAIM_MS }),
    default: 0,
    doc: "How long others wait for a prompt that an engine computes without hearing of it; 0: they do not wait.",
  },
  remoteToken: {
    key: "remote_token",
    type: text,
    default: undefined,
    doc: "What the remote tier shows to a cache server that asks for it.",
  },
};

const entries = Object.entries(knownEntries as Record<string, Entry>);
type Entry = ExtraSetting<unknown> & { readonly key: string };

/** By their keys, as they are written. */
export const extraSettings: Readonly<Record<string, ExtraSetting<unknown>>> = Object.fromEntries(
  entries.map(([, entry]) => [entry.key, entry]),
);

export const DEFAULT_EXTRA_CONFIG: ExtraConfig = {
  ...(Object.fromEntries(
    entries.map(([field, entry]) => [field, entry.default]),
  ) as unknown as KnownEntries),
  rest: {},
};

export const extraConfig: ValueType<ExtraConfig> = {
  name: "map",
  schema: z
    .unknown()
    .transform((raw, context) => {
      const map = readMap(raw);
      if (map !== undefined) return withoutNothing(map);
      context.addIssue(WANTED);
      return z.NEVER;
    })
    .pipe(
      z.looseObject(
        Object.fromEntries(entries.map(([, { key, type }]) => [key, type.schema.optional()])),
      ),
    )
    .transform((map) => {
      const rest: Record<string, unknown> = { ...map };
      const known = entries.map(([field, { key, default: fallback }]) => {
        const value = rest[key] ?? fallback;
        delete rest[key];
        return [field, value];
      });
      return { ...(Object.fromEntries(known) as unknown as KnownEntries), rest };
    }),
  show: ({ rest, ...known }) => {
    const written = entries.map(([field, { key }]) => [key, known[field as keyof KnownEntries]]);
    return JSON.stringify({ ...Object.fromEntries(written), ...rest });
  },
};

/** Known keys that are written but empty have their default, as everywhere. */
function withoutNothing(map: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(map).filter(
      ([key, value]) => !(Object.hasOwn(extraSettings, key) && isNothing(value)),
    ),
  );
}
