import { signal } from "@preact/signals";
import * as api from "../api/client.ts";
import type { Detail, Recording } from "../api/contract.ts";
import { ApiError } from "../api/errors.ts";
import { sentence } from "../problems.ts";
import { texts } from "../texts.ts";
import { statusWord, titleOf } from "../words.ts";
import { say, tell, tellProblem } from "./notices.ts";

/** Recordings as the server told of them last, and above them the requests of a person that it has not answered yet. */

type Overlay = Partial<Recording> & { gone?: true };

const known = signal<ReadonlyMap<string, Recording>>(new Map());
const details = signal<ReadonlyMap<string, Detail>>(new Map());
const overlays = signal<ReadonlyMap<string, readonly Overlay[]>>(new Map());
const removed = signal<ReadonlySet<string>>(new Set());

/** Counts what changed by a person's hand; views that poll ask again when it grows. */
export const changes = signal(0);

const MOST_DETAILS = 300;
/** The code of a recording that is not there, or no more: whoever deletes it has what they want. */
const GONE = "recording_not_found";
/** The most recordings that the API deletes with one request. */
const MOST_AT_ONCE = 100;

export function recordingOf(id: string): Recording | undefined {
  let shown = known.value.get(id);
  for (const overlay of overlaysOf(id)) shown = shown && { ...shown, ...overlay };
  return shown;
}

export function detailOf(id: string): Detail | undefined {
  const detail = details.value.get(id);
  const recording = recordingOf(id);
  return detail && recording ? { ...detail, recording } : undefined;
}

/** Tells whether a recording was deleted here, or is about to be. */
export function isGone(id: string): boolean {
  return removed.value.has(id) || overlaysOf(id).some(({ gone }) => gone);
}

export function busy(id: string): boolean {
  return overlaysOf(id).length > 0;
}

/** Takes in what the server says; a change of status is said aloud. */
export function learn(recordings: readonly Recording[]): void {
  const next = new Map(known.value);
  for (const recording of recordings) {
    const before = next.get(recording.id);
    if (before && before.updatedAt > recording.updatedAt) continue;
    if (before && statusWord(before) !== statusWord(recording)) {
      say(texts.done.differs(titleOf(recording), statusWord(recording)));
    }
    next.set(recording.id, recording);
  }
  known.value = next;
}

export async function loadDetail(id: string): Promise<Detail> {
  const detail = await api.get(id);
  learn([detail.recording]);
  const next = new Map(details.value);
  next.delete(id);
  next.set(id, detail);
  for (const oldest of next.keys()) {
    if (next.size <= MOST_DETAILS) break;
    next.delete(oldest);
  }
  details.value = next;
  return detail;
}

/** Takes out what the server does not know, or no more. */
export function forget(id: string): void {
  removed.value = new Set([...removed.value, id]);
}

const EXPECTED = { stop: "stopping", resume: "resuming" } as const;

/** Pauses, resumes or stops; shows at once what is asked for, and then what the server says became of it. */
export async function change(id: string, action: "stop" | "pause" | "resume"): Promise<void> {
  const overlay: Overlay =
    action === "pause" ? { pauseRequestedAt: new Date().toISOString() } : { status: EXPECTED[action] };
  await optimistically(id, overlay, texts.failed[action], async () => {
    const answer = await api.change(id, action);
    const recording = known.value.get(id);
    if (recording) {
      learn([{ ...recording, ...patchOf(action, answer.status), egressId: answer.egressId, fileUrl: answer.fileUrl }]);
    }
  });
}

export async function rename(id: string, title: string | null): Promise<void> {
  await optimistically(id, { title }, texts.failed.rename, async () => {
    await api.rename(id, title);
    const recording = known.value.get(id);
    if (recording) learn([{ ...recording, title }]);
    tell(texts.done.renamed);
  });
}

/** Deletes one recording. Returns whether it is gone. */
export async function remove(id: string): Promise<boolean> {
  return optimistically(id, { gone: true }, texts.failed.remove, async () => {
    try {
      await api.remove(id);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === GONE)) throw error;
    }
    forget(id);
    tell(texts.done.removed(titleOfId(id)));
  });
}

export interface Report {
  id: string;
  title: string;
  error: string;
}

/** Deletes several at once. Returns those that could not be, each with its reason; raises where the server refuses. */
export async function removeAll(ids: readonly string[]): Promise<Report[]> {
  const overlay: Overlay = { gone: true };
  lay(ids, overlay);
  const report: Report[] = [];
  let deleted = 0;
  try {
    for (let start = 0; start < ids.length; start += MOST_AT_ONCE) {
      const answer = await api.removeAll(ids.slice(start, start + MOST_AT_ONCE));
      const failed = answer.failed.filter(({ code }) => code !== GONE);
      const gone = answer.failed.filter(({ code }) => code === GONE).map(({ id }) => id);
      removed.value = new Set([...removed.value, ...answer.deleted, ...gone]);
      deleted += answer.deleted.length + gone.length;
      report.push(...failed.map(({ id, error }) => ({ id, error: sentence(error), title: titleOfId(id) })));
    }
    return report;
  } finally {
    if (deleted) tell(texts.done.removedMany(deleted));
    lift(ids, overlay);
    changes.value += 1;
  }
}

function titleOfId(id: string): string {
  const recording = known.value.get(id);
  return recording ? titleOf(recording) : id;
}

function patchOf(action: string, status: string): Partial<Recording> {
  return action === "pause" && status === "active"
    ? { status, pauseRequestedAt: new Date().toISOString() }
    : { status };
}

async function optimistically(
  id: string,
  overlay: Overlay,
  failure: string,
  request: () => Promise<void>,
): Promise<boolean> {
  lay([id], overlay);
  try {
    await request();
    return true;
  } catch (error) {
    tellProblem(failure, error);
    return false;
  } finally {
    lift([id], overlay);
    changes.value += 1;
  }
}

function overlaysOf(id: string): readonly Overlay[] {
  return overlays.value.get(id) ?? [];
}

function lay(ids: readonly string[], overlay: Overlay): void {
  overlays.value = new Map([...overlays.value, ...ids.map((id) => [id, [...overlaysOf(id), overlay]] as const)]);
}

function lift(ids: readonly string[], overlay: Overlay): void {
  const next = new Map(overlays.value);
  for (const id of ids) {
    const left = overlaysOf(id).filter((other) => other !== overlay);
    if (left.length) next.set(id, left);
    else next.delete(id);
  }
  overlays.value = next;
}
