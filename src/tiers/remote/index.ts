export { Int8Serde } from "./int8-serde.ts";
export { RemoteTier } from "./remote-tier.ts";
export type { RemoteTierOptions } from "./remote-tier.ts";
