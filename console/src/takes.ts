import type { Recording, Take } from "./api/contract.ts";
import { isFinal } from "./api/contract.ts";

export type SeamKind = "paused" | "lost" | "broken" | "other";

/** Where one take ends and the next begins. */
export interface Seam {
  /** Recorded seconds before it. */
  at: number;
  kind: SeamKind;
  /** How long nothing was recorded; null where that is not known. */
  missing: number | null;
  /** Number of the take that begins here. */
  take: number;
}

/** Returns the takes that recorded something, in order. */
export function recorded(takes: readonly Take[]): Take[] {
  return takes
    .filter((take) => take.startedAt !== null && (take.end === null || (take.duration ?? 0) > 0))
    .toSorted((one, other) => one.take - other.take);
}

/** Returns the seams of a recording as far as the durations of its takes are known. */
export function seams(takes: readonly Take[]): Seam[] {
  const found: Seam[] = [];
  const all = recorded(takes);
  let at = 0;
  for (const [index, take] of all.entries()) {
    const next = all[index + 1];
    if (!next || take.duration === null) break;
    at += take.duration;
    found.push({ at, kind: kindOf(take), missing: missingBetween(take, next), take: next.take });
  }
  return found;
}

/**
 * Returns how many seconds of a recording are recorded by now, or null where that is not known: without its takes, the
 * time of a recording of several takes cannot be told.
 */
export function recordedSeconds(recording: Recording, takes: readonly Take[] | undefined, now: number): number | null {
  if (isFinal(recording.status)) return recording.duration;
  if (takes?.length) {
    let sum = 0;
    for (const take of recorded(takes)) {
      const running = take.end === null && take.stoppedAt === null;
      const seconds = running ? secondsBetween(take.startedAt, now) : (take.duration ?? spanOf(take));
      if (seconds === null) return null;
      sum += seconds;
    }
    return sum;
  }
  if (recording.takeCount > 1 || recording.status === "paused" || recording.status === "resuming") {
    return recording.duration;
  }
  if (recording.status === "active") return secondsBetween(recording.startedAt, now);
  return recording.duration;
}

function kindOf(take: Take): SeamKind {
  switch (take.end) {
    case "paused":
      return "paused";
    case "worker_lost":
      return "lost";
    case "stopped":
    case "limit_reached":
    case null:
      return "other";
    default:
      return "broken";
  }
}

function missingBetween(take: Take, next: Take): number | null {
  if (take.lostSeconds !== undefined) return take.lostSeconds;
  if (!take.stoppedAt || !next.startedAt) return null;
  const seconds = (Date.parse(next.startedAt) - Date.parse(take.stoppedAt)) / 1000;
  // A worker that stops after the next one began, by whichever clock, tells nothing of the time between.
  return seconds > 0 ? seconds : null;
}

function spanOf(take: Take): number | null {
  return take.stoppedAt ? secondsBetween(take.startedAt, Date.parse(take.stoppedAt)) : null;
}

function secondsBetween(start: string | null, end: number): number | null {
  return start ? Math.max(0, (end - Date.parse(start)) / 1000) : null;
}
