import type { TierErrorCode } from "../core/index.ts";

/** A connection that cannot be used any more, in the words of TierError; whoever owns the connection adds its name. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: TierErrorCode;

  constructor(code: TierErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** Certificates that one side does not accept; OpenSSL has one code for each reason. */
const CERTIFICATE_CODE =
  /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|ERR_SSL_.*(CERT|UNKNOWN_CA|BAD_SIGNATURE))/;

/** What a socket's own error means. */
export function socketFailureCode(error: unknown): TierErrorCode {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (CERTIFICATE_CODE.test(code)) return "unauthorized";
  if (code === "ETIMEDOUT") return "timeout";
  return code.startsWith("ERR_SSL_") ? "protocol" : "unavailable";
}
