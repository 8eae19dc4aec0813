/** What clients ask for; "other" is what no client should. */
const COMMANDS = [
  "put",
  "get",
  "exist",
  "list",
  "health",
  "hello",
  "lookup",
  "remove",
  "offer",
  "store",
  "claim",
  "other",
] as const;
export type Command = (typeof COMMANDS)[number];

/** Why a value that was put is not stored. */
const DROP_REASONS = [
  /** Larger than the server can hold. */
  "too_large",
  /** Too much was on its way in, or everything is in use. */
  "no_room",
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** Why the server closed a connection. */
const CUT_REASONS = [
  /** Bytes that are no frame of the protocol. */
  "protocol",
  /** No token, or a wrong one. */
  "unauthorized",
  /** A frame that was begun and did not go on. */
  "stalled",
] as const;
export type CutReason = (typeof CUT_REASONS)[number];

/** What went over the wire since the start. */
export class Traffic {
  readonly numRequests: Record<Command, number> = zeros(COMMANDS);
  readonly numDropped: Record<DropReason, number> = zeros(DROP_REASONS);
  readonly numCut: Record<CutReason, number> = zeros(CUT_REASONS);
  numHits = 0;
  numMisses = 0;
  /** Of values; headers are not counted. */
  receivedBytes = 0;
  sentBytes = 0;
  numConnections = 0;
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
