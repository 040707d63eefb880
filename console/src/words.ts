import type { Recording } from "./api/contract.ts";
import { texts } from "./texts.ts";

export function titleOf(recording: Recording): string {
  return recording.title ?? (recording.roomName || (recording.pageUrl ?? recording.id));
}

/** Returns the status as one word of the page's own; a status that is not known here stands as it is. */
export function statusKey(recording: Recording): string {
  if (recording.status === "active" && recording.pauseRequestedAt) return "pausing";
  if (recording.status === "failed" && recording.failureCode === "stopped_before_start") return "stopped_before_start";
  return recording.status;
}

export function statusWord(recording: Recording): string {
  const key = statusKey(recording);
  return texts.status[key] ?? key;
}

export function kindWord(recording: Recording): string {
  return texts.kind[recording.source] ?? recording.source;
}
