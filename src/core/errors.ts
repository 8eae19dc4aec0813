/** Bad input from a person: a flag, a config key, a field of a request. Becomes exit 2 or HTTP 400. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "usage";
  /** The flag, key or field the value came from, if there is one. */
  readonly param: string | undefined;

  constructor(message: string, options: { param?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.param = options.param;
  }
}

/** Why a tier is broken. A miss, a full tier or a damaged chunk is not among these: those are counts. */
export type TierErrorCode =
  /** The disk, directory or peer cannot be reached. */
  | "unavailable"
  /** It did not answer within its time budget. */
  | "timeout"
  /** It answered something that is not of its protocol or format. */
  | "protocol"
  /** It refused the password, token or certificate. */
  | "unauthorized"
  /** The tier was closed. */
  | "closed";

/** A tier that is broken, as opposed to one that does not have what was asked for. */
export class TierError extends Error {
  override readonly name = "TierError";
  readonly tier: string;
  readonly code: TierErrorCode;

  constructor(tier: string, code: TierErrorCode, message: string, options?: { cause?: unknown }) {
    super(`${tier}: ${message}`, options);
    this.tier = tier;
    this.code = code;
  }
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
