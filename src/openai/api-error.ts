import { UsageError } from "../core/index.ts";

/** The body of every failed answer, as OpenAI's clients read it. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    /** The field that was wrong: "temperature", "messages[0].content". */
    readonly param: string | null;
    readonly code: string | null;
  };
}

export interface ApiErrorOptions {
  readonly type?: string | undefined;
  readonly param?: string | undefined;
  readonly code?: string | undefined;
  /** Sent as headers: Retry-After, Allow, ... */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly cause?: unknown;
}

/** A failure with its HTTP status and OpenAI's fields. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly type: string;
  readonly param: string | undefined;
  readonly code: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.status = status;
    this.type = options.type ?? "invalid_request_error";
    this.param = options.param;
    this.code = options.code;
    this.headers = options.headers ?? {};
  }

  /** Bad input is a 400; anything that is not known is a 500 that tells the client nothing of its cause. */
  static from(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    if (error instanceof UsageError) {
      return new ApiError(400, error.message, { param: error.param, cause: error });
    }
    return new ApiError(500, "The server had an error while processing the request", {
      type: "server_error",
      cause: error,
    });
  }

  get body(): ErrorBody {
    return {
      error: {
        message: this.message,
        type: this.type,
        param: this.param ?? null,
        code: this.code ?? null,
      },
    };
  }
}
