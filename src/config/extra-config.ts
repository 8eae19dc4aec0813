import { z } from "zod";
import type { ExtraConfig } from "./cache-config.ts";
import { boolean, integer, isNothing, type ValueType } from "./value-type.ts";
import { readMap } from "./yaml-text.ts";

const WANTED =
  "wanted a map, as YAML, JSON or a Python dict in quotes, such as '{\"use_odirect\": true}'";

/** More threads than this only wait for each other. */
const MAX_DISK_IO_THREADS = 256;

interface ExtraSetting<Value> {
  readonly type: ValueType<Value>;
  readonly default: Value;
  readonly doc: string;
}

/** The entries that are read here; remote tiers read their own. */
export const extraSettings: {
  readonly use_odirect: ExtraSetting<boolean>;
  readonly disk_io_threads: ExtraSetting<number>;
} = {
  use_odirect: {
    type: boolean,
    default: false,
    doc: "Read and write the disk tier past the page cache.",
  },
  disk_io_threads: {
    type: integer({ minimum: 1, maximum: MAX_DISK_IO_THREADS }),
    default: 4,
    doc: "Reads and writes of the disk tier at the same time.",
  },
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
      z.looseObject({
        use_odirect: withDefault(extraSettings.use_odirect),
        disk_io_threads: withDefault(extraSettings.disk_io_threads),
      }),
    )
    .transform(({ use_odirect: useOdirect, disk_io_threads: diskIoThreads, ...rest }) => ({
      useOdirect,
      diskIoThreads,
      rest,
    })),
  show: ({ useOdirect, diskIoThreads, rest }) =>
    JSON.stringify({ use_odirect: useOdirect, disk_io_threads: diskIoThreads, ...rest }),
};

/** Known keys that are written but empty have their default, as everywhere. */
function withoutNothing(map: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(map).filter(
      ([key, value]) => !(Object.hasOwn(extraSettings, key) && isNothing(value)),
    ),
  );
}

function withDefault<Value extends boolean | number>(
  setting: ExtraSetting<Value>,
): z.ZodType<Value> {
  return setting.type.schema.default(setting.default as never);
}
