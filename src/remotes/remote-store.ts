import type { RemotePriority } from "../protocol/index.ts";

export type { RemotePriority } from "../protocol/index.ts";

/**
 * Values by name in another process or on another machine: what a URL scheme of `remote_url` opens. Knows nothing
 * of tokens, chunks or headers; any engine's bytes are fine.
 *
 * A value never changes: putting a held name is a cheap no-op, and a value is found only once it is whole. A miss and
 * a full store are answers. A store that cannot be reached, answers nonsense, or refuses the credentials rejects with
 * a TierError of a stable code: "unavailable", "timeout", "protocol", "unauthorized", "closed".
 *
 * Every call ends at its signal at the latest; a connection with half an exchange on it is dropped, not reused.
 */
export interface RemoteStore extends AsyncDisposable {
  /** Address for logs and metrics: without user, password, token. */
  readonly address: string;

  /** How many leading names are stored: one round trip (per server) for a whole prompt, where the protocol can. */
  lookup(names: readonly string[], call: RemoteCall): Promise<number>;

  /**
   * Reads a value straight into memory of the caller's.
   *
   * @param allocate called once the length is known; undefined: no room, the value is given up
   * @returns the length, or undefined when there is no such value or no room. Fewer bytes than announced reject
   */
  get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    call: RemoteCall,
  ): Promise<number | undefined>;

  /** @returns whether the value is stored now; false: the store has no room, or wants no value of this size */
  put(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean>;

  /** @returns how many were there; 0 where the protocol has no such command */
  remove(names: readonly string[], call: RemoteCall): Promise<number>;

  /**
   * Tells others that these values are being made, until the time to live is over or the claim is released. A claim
   * of the same owner is renewed. Missing: the store cannot.
   *
   * @returns how many leading names are the owner's now; undefined when the servers know no claims
   */
  claim?(
    names: readonly string[],
    claim: RemoteClaim,
    call: RemoteCall,
  ): Promise<number | undefined>;

  /** Ends what the owner has claimed of these. There where `claim` is. */
  release?(names: readonly string[], owner: string, call: RemoteCall): Promise<void>;
}

export interface RemoteClaim {
  /** One of a kind, 64 characters of ASCII at most. */
  readonly owner: string;
  readonly ttlMs: number;
}

export interface RemoteCall {
  readonly signal: AbortSignal;
  readonly priority: RemotePriority;
}
