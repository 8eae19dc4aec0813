import { UsageError } from "../core/index.ts";

/** What there is to say of a store beside its address: entries of `extra_config`, variables of the environment. */
export type RemoteSettings = Readonly<Record<string, unknown>>;

/** @throws UsageError for anything but text */
export function textSetting(settings: RemoteSettings, name: string): string | undefined {
  const value = settings[name];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string" || typeof value === "number") return String(value);
  throw new UsageError(`Cannot use ${name}: wanted text`, { param: name });
}

/** @throws UsageError for anything but a whole number of at least `minimum` */
export function integerSetting(
  settings: RemoteSettings,
  name: string,
  minimum: number,
): number | undefined {
  const text = textSetting(settings, name);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (value >= minimum) return value;
  throw new UsageError(
    `Cannot use ${name} ${JSON.stringify(text)}: wanted a whole number of at least ${minimum}`,
    { param: name },
  );
}
