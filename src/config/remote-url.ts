import { z } from "zod";
import { REMOTE_SCHEMES } from "./cache-config.ts";
import { text, type ValueType } from "./value-type.ts";

const WANTED = `wanted an address such as "lm://localhost:65432", with one of the schemes ${REMOTE_SCHEMES.join(", ")}`;

/** The scheme is checked here, so that a typing error stops the start at once; the rest by the remote itself. */
export const remoteUrl: ValueType<string> = {
  ...text,
  schema: z.unknown().pipe(text.schema).refine(hasKnownScheme, WANTED),
};

function hasKnownScheme(url: string): boolean {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/\S/i.exec(url)?.[1]?.toLowerCase();
  return REMOTE_SCHEMES.some((known) => known === scheme);
}
