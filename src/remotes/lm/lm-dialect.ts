import type { LmForm } from "../../protocol/index.ts";
import type { LmKeyStyle } from "./lm-name.ts";

/** How to speak to a server. */
export interface LmDialect {
  readonly form: LmForm;
  readonly keys: LmKeyStyle;
  /** Whether to ask if it knows the commands of our own. Some servers close at that. */
  readonly saysHello: boolean;
}

/** What is tried when a server closes the connection at the one before; the first says hello. */
const DIALECTS: readonly LmDialect[] = [
  { form: "current", keys: "current", saysHello: true },
  { form: "current", keys: "current", saysHello: false },
  { form: "current", keys: "2025", saysHello: false },
];

/** @param form what the address names, if it names one: heads of another length cannot be tried out */
export function dialectsOf(form: LmForm | undefined): readonly LmDialect[] {
  return form === undefined ? DIALECTS : [{ form, keys: "2025", saysHello: false }];
}
