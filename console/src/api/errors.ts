export interface FieldError {
  field: string;
  message: string;
}

/** An answer that is no success, or no answer at all: then `status` is 0 and `code` is `offline` or `timeout`. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | null;
  /** Seconds after which another try may succeed. */
  readonly retryAfter: number | null;
  readonly details: readonly FieldError[];
  readonly recordingId: string | null;

  constructor(
    message: string,
    facts: {
      status: number;
      code: string;
      requestId?: string | null;
      retryAfter?: number | null;
      details?: readonly FieldError[];
      recordingId?: string | null;
    },
  ) {
    super(message);
    this.name = "ApiError";
    this.status = facts.status;
    this.code = facts.code;
    this.requestId = facts.requestId ?? null;
    this.retryAfter = facts.retryAfter ?? null;
    this.details = facts.details ?? [];
    this.recordingId = facts.recordingId ?? null;
  }
}

interface Body {
  error?: string;
  code?: string;
  requestId?: string;
  details?: FieldError[];
  recordingId?: string;
}

const GATEWAY_CODES: Record<number, string> = {
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  413: "too_large",
  429: "too_many_requests",
  503: "unavailable",
};

/** Returns the error that an answer is; API Gateway's own refusals have no `code` of ours. */
export async function errorOf(response: Response): Promise<ApiError> {
  let body: Body = {};
  try {
    body = (await response.json()) as Body;
  } catch {
    // An answer that is no JSON says nothing beyond its status.
  }
  const retryAfter = Number(response.headers.get("retry-after"));
  return new ApiError(body.error ?? "", {
    status: response.status,
    code: body.code ?? GATEWAY_CODES[response.status] ?? "unexpected",
    requestId: body.requestId ?? response.headers.get("apigw-requestid"),
    retryAfter: Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : null,
    details: body.details ?? [],
    recordingId: body.recordingId ?? null,
  });
}
