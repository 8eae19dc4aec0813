export { RemoteTier } from "./remote-tier.ts";
export type { RemoteTierOptions } from "./remote-tier.ts";
