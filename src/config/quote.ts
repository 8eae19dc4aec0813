import { inspect } from "node:util";

const MAX_QUOTED_LENGTH = 120;
/** In place of a secret. */
export const HIDDEN = "***";
const SECRET_NAME = /password|passwd|secret|token$|api_?key|credential/i;

/** A value as a sentence shows it: short, on one line, without secrets. */
export function quote(value: unknown): string {
  const text =
    typeof value === "string"
      ? JSON.stringify(maskSecrets(value))
      : inspect(maskEntries(value), { breakLength: Infinity, customInspect: false });
  return text.length <= MAX_QUOTED_LENGTH ? text : `${text.slice(0, MAX_QUOTED_LENGTH)}...`;
}

/** Hides the user part of URLs and what follows "password=", "'token': " and the like. */
export function maskSecrets(text: string): string {
  return text
    .replaceAll(/:\/\/[^/?#@\s]+@/g, "://***@")
    .replaceAll(
      /((?:password|passwd|secret|token|api_?key)["']?\s*[=:]\s*["']?)[^"'&,}\s]+/gi,
      "$1***",
    );
}

/** The same map with the values of secret keys hidden. */
export function maskEntries(value: unknown): unknown {
  if (typeof value === "string") return maskSecrets(value);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key,
      SECRET_NAME.test(key) ? HIDDEN : maskEntries(entry),
    ]),
  );
}
