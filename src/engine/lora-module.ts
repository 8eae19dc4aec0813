import { UsageError } from "../core/index.ts";

/** A LoRA adapter that requests ask for by its name. */
export interface LoraModule {
  readonly name: string;
  readonly path: string;
  /** 1: as it was trained. */
  readonly scale: number;
  /** 32 hex digits over its content and scale. */
  readonly fingerprint: string;
}

/** Salts of clients do not begin like this. */
export const RESERVED_SALT = "\0";

/** @throws UsageError for a module that is not there */
export function findModule(modules: readonly LoraModule[], name: string): LoraModule {
  const module = modules.find((candidate) => candidate.name === name);
  if (module !== undefined) return module;
  throw new UsageError(`There is no LoRA module "${name}"`, { param: "model" });
}

/** KV that was computed with an adapter is kept apart by a salt of its own. */
export function saltOf(
  module: LoraModule | undefined,
  salt: string | undefined,
): string | undefined {
  if (module === undefined) return salt;
  return `${RESERVED_SALT}lora:${module.fingerprint}${RESERVED_SALT}${salt ?? ""}`;
}

/** @param users by the places of their modules in the list */
export function namesOfUsed(
  modules: readonly LoraModule[] | undefined = [],
  users: readonly { readonly module: number | undefined }[],
): string[] {
  const used = new Set(users.map(({ module }) => module));
  return modules.filter((_, place) => used.has(place)).map(({ name }) => name);
}
