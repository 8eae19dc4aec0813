import type { PackReader, PackType, PackWriter } from "./struct-pack.ts";
import { malformed } from "./struct-pack.ts";

/** Type ids of struct_pack, as they stand in a literal. */
const ID = {
  int32: 1,
  uint64: 4,
  uint8: 6,
  boolean: 11,
  char: 12,
  text: 128,
  list: 132,
  optional: 133,
  variant: 134,
  expected: 135,
  nothing: 250,
  struct: 253,
  end: 255,
} as const;

export const uint8: PackType<number> = {
  literal: Uint8Array.of(ID.uint8),
  write: (writer, value) => writer.uint8(value),
  read: (reader) => reader.uint8(),
};

export const int32: PackType<number> = {
  literal: Uint8Array.of(ID.int32),
  write: (writer, value) => writer.int32(value),
  read: (reader) => reader.int32(),
};

export const uint64: PackType<bigint> = {
  literal: Uint8Array.of(ID.uint64),
  write: (writer, value) => writer.uint64(value),
  read: (reader) => reader.uint64(),
};

export const boolean: PackType<boolean> = {
  literal: Uint8Array.of(ID.boolean),
  write: (writer, value) => writer.uint8(value ? 1 : 0),
  read: (reader) => readFlag(reader),
};

export const text: PackType<string> = {
  literal: Uint8Array.of(ID.text, ID.char),
  write: (writer, value) => writer.text(value),
  read: (reader) => reader.text(),
};

/** `void` */
export const nothing: PackType<undefined> = {
  literal: Uint8Array.of(ID.nothing),
  write: () => {},
  read: () => undefined,
};

/** Two random 64-bit halves. A struct of plain numbers, whose literal also tells its packing and alignment (8 and 8). */
export const uuid: PackType<Uuid> = {
  literal: Uint8Array.of(ID.struct, ID.uint64, ID.uint64, 129 + 8, 129 + 8, ID.end),
  write: (writer, value) => {
    writer.uint64(value[0]);
    writer.uint64(value[1]);
  },
  read: (reader) => [reader.uint64(), reader.uint64()],
};
export type Uuid = readonly [bigint, bigint];

export function list<T>(of: PackType<T>): PackType<readonly T[]> {
  return {
    literal: Buffer.concat([Uint8Array.of(ID.list), of.literal]),
    write: (writer, values) => {
      writer.length(values.length);
      for (const value of values) of.write(writer, value);
    },
    read: (reader) => Array.from({ length: reader.length(1) }, () => of.read(reader)),
  };
}

/** Exactly one, written without a length: what later releases have where earlier ones had a list. */
export function one<T>(of: PackType<T>): PackType<readonly T[]> {
  return {
    literal: of.literal,
    write: (writer, values) => {
      const [value] = values;
      if (value === undefined || values.length > 1) throw new RangeError("Wanted one value");
      of.write(writer, value);
    },
    read: (reader) => [of.read(reader)],
  };
}

export function optional<T>(of: PackType<T>): PackType<T | undefined> {
  return {
    literal: Buffer.concat([Uint8Array.of(ID.optional), of.literal]),
    write: (writer, value) => {
      boolean.write(writer, value !== undefined);
      if (value !== undefined) of.write(writer, value);
    },
    read: (reader) => (readFlag(reader) ? of.read(reader) : undefined),
  };
}

type Fields = Readonly<Record<string, PackType<never> | PackType<unknown>>>;
export type ValueOf<T> = T extends PackType<infer V> ? V : never;
type StructValue<F> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** Fields in the order of the wire. Fields that a given value has beyond these are not written. */
export function struct<const F>(fields: F): PackType<StructValue<F>> {
  const entries = Object.entries(fields as Fields) as [string, PackType<unknown>][];
  return {
    literal: Buffer.concat([
      Uint8Array.of(ID.struct),
      ...entries.map(([, type]) => type.literal),
      Uint8Array.of(ID.end),
    ]),
    write: (writer: PackWriter, value) => {
      const values = value as Readonly<Record<string, unknown>>;
      for (const [name, type] of entries) type.write(writer, values[name]);
    },
    read: (reader: PackReader) =>
      Object.fromEntries(
        entries.map(([name, type]) => [name, type.read(reader)]),
      ) as StructValue<F>,
  };
}

/** The arguments of a call are a struct, but a single argument stands alone. */
export function only<K extends string, T>(
  name: K,
  of: PackType<T>,
): PackType<{ readonly [P in K]: T }> {
  return {
    literal: of.literal,
    write: (writer, value) => of.write(writer, value[name]),
    read: (reader) => ({ [name]: of.read(reader) }) as { readonly [P in K]: T },
  };
}

type VariantValue<F> = {
  [K in keyof F]: { readonly kind: K; readonly value: ValueOf<F[K]> };
}[keyof F];

/** One of several types; the names are ours. */
export function variant<const F>(alternatives: F): PackType<VariantValue<F>> {
  const entries = Object.entries(alternatives as Fields) as [string, PackType<unknown>][];
  return {
    literal: Buffer.concat([
      Uint8Array.of(ID.variant),
      ...entries.map(([, type]) => type.literal),
      Uint8Array.of(ID.end),
    ]),
    write: (writer, given) => {
      const { kind, value } = given as { kind: string; value: unknown };
      const index = entries.findIndex(([name]) => name === kind);
      writer.uint8(index);
      entries[index]![1].write(writer, value);
    },
    read: (reader) => {
      const index = reader.uint8();
      const entry = entries[index];
      if (entry === undefined) throw malformed(`of an unknown variant ${index}`);
      return { kind: entry[0], value: entry[1].read(reader) } as VariantValue<F>;
    },
  };
}

export type Expected<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: number };

/** `tl::expected<T, ErrorCode>`: what every handler answers. */
export function expected<T>(of: PackType<T>): PackType<Expected<T>> {
  return {
    literal: Buffer.concat([Uint8Array.of(ID.expected), of.literal, int32.literal]),
    write: (writer, value) => {
      boolean.write(writer, value.ok);
      if (value.ok) of.write(writer, value.value);
      else int32.write(writer, value.error);
    },
    read: (reader) =>
      readFlag(reader)
        ? { ok: true, value: of.read(reader) }
        : { ok: false, error: int32.read(reader) },
  };
}

function readFlag(reader: PackReader): boolean {
  const flag = reader.uint8();
  if (flag > 1) throw malformed(`flagged ${flag}`);
  return flag === 1;
}
