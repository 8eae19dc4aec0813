import { spawnSync } from "node:child_process";

/** The servers that speak the protocol; the tests run over each. */
export const FLAVOURS = ["redis", "valkey"] as const;
export type Flavour = (typeof FLAVOURS)[number];

const INSTALL: Record<Flavour, string> = {
  redis: "apt-get install redis-server",
  valkey: "apt-get install -t bookworm-backports valkey-server",
};

function isInstalled(program: string): boolean {
  return spawnSync(program, ["--version"]).status === 0;
}

/** For describe.skipIf: whether to, and what the report says then. */
export function missing(flavour: Flavour): { readonly isMissing: boolean; readonly note: string } {
  const isMissing = !isInstalled(`${flavour}-server`);
  return { isMissing, note: isMissing ? ` (skipped: ${INSTALL[flavour]})` : "" };
}
