import { ApiError } from "./api/errors.ts";
import { texts } from "./texts.ts";

/** An error in words: what happened, what to do, and the id under which the logs tell more. */
export interface Problem {
  text: string;
  requestId: string | null;
}

const OWN_WORDS: Record<string, string> = {
  offline: texts.problem.offline,
  timeout: texts.problem.timeout,
  not_renewed: texts.problem.not_renewed,
  too_many_requests: texts.problem.too_many_requests,
  unauthorized: texts.problem.unauthorized,
  room_not_found: texts.problem.room_not_found,
};

const WITHOUT_WORDS: Record<string, string> = {
  forbidden: texts.problem.forbidden,
  unavailable: texts.problem.unavailable,
  not_found: texts.problem.not_found,
};

/** Returns what to tell a person of an error; the server's own sentence where it has one that is meant for a person. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof ApiError)) return { text: texts.problem.unexpected, requestId: null };
  const said =
    OWN_WORDS[error.code] ?? (sentence(error.message) || WITHOUT_WORDS[error.code] || texts.problem.unexpected);
  const retry = error.retryAfter ? ` ${texts.problem.retry(error.retryAfter)}` : "";
  return { text: said + retry, requestId: error.requestId };
}

/** Returns a message of the server as a sentence. */
export function sentence(text: string): string {
  if (!text) return "";
  const ended = /[.!?]$/.test(text) ? text : `${text}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
