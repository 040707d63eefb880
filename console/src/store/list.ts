import { signal } from "@preact/signals";
import type { Query } from "../api/client.ts";
import * as api from "../api/client.ts";
import type { Page, Recording } from "../api/contract.ts";
import { isLive } from "../api/contract.ts";
import { ApiError } from "../api/errors.ts";
import type { Filters } from "../route.ts";
import { listPath } from "../route.ts";
import { titleOf } from "../words.ts";
import { forget, isGone, learn, loadDetail, recordingOf } from "./recordings.ts";

const PAGE = 50;
/** How many older pages one search looks through before it asks again. */
const MOST_PAGES_A_SEARCH = 5;
const MOST_ASKED_ONE_BY_ONE = 5;
const DEEP_LOOK_MILLISECONDS = 30_000;
const LIVE_STATUSES = ["starting", "active", "paused", "resuming", "stopping"];
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface Loaded {
  /** In the order of the server, newest first. */
  ids: readonly string[];
  nextCursor: string | null;
}

/** The recordings that one set of filters lets through, a page at a time. */
export class RecordingList {
  readonly loaded = signal<Loaded | null>(null);
  readonly problem = signal<unknown>(null);
  readonly loadingOlder = signal(false);
  readonly #filters: Filters;
  #lookedDeep = 0;
  #wentOn = false;

  constructor(filters: Filters) {
    this.#filters = filters;
  }

  /** Reads the newest page anew, and the live ones that lie deeper; what was loaded of older pages stays. */
  async refresh(): Promise<void> {
    try {
      const page = await api.list(queryOf(this.#filters));
      const found = [...page.recordings, ...(await this.#alsoFound(page.nextCursor !== null))];
      learn(found);
      await this.#askOfLiveBut(new Set(found.map(({ id }) => id)));
      this.#take(page, found);
      this.problem.value = null;
    } catch (error) {
      this.problem.value = error;
      throw error;
    }
  }

  async older(): Promise<void> {
    const before = this.shown().length;
    this.loadingOlder.value = true;
    try {
      for (let page = 0; page < MOST_PAGES_A_SEARCH; page += 1) {
        const cursor = this.loaded.value?.nextCursor;
        if (!cursor) return;
        const next = await api.list({ ...queryOf(this.#filters), cursor });
        learn(next.recordings);
        this.#wentOn = true;
        const ids = this.loaded.value?.ids ?? [];
        this.loaded.value = {
          ids: unique([...ids, ...next.recordings.map(({ id }) => id)]),
          nextCursor: next.nextCursor,
        };
        if (this.shown().length > before) return;
      }
    } finally {
      this.loadingOlder.value = false;
    }
  }

  /** Returns what is to be seen: those that the search and the filters let through also as they are by now. */
  shown(): Recording[] {
    const wanted = this.#filters;
    return (this.loaded.value?.ids ?? [])
      .map((id) => recordingOf(id))
      .filter((recording) => recording !== undefined)
      .filter((recording) => !isGone(recording.id) && matches(recording, wanted));
  }

  async #alsoFound(older: boolean): Promise<Recording[]> {
    const { q, status } = this.#filters;
    const queries: Query[] = [];
    if (q) queries.push({ ...queryOf(this.#filters), roomName: q });
    // A recording that began long ago and still runs lies on an older page, and is shown on top all the same.
    if (older && !status && Date.now() - this.#lookedDeep > DEEP_LOOK_MILLISECONDS) {
      this.#lookedDeep = Date.now();
      queries.push(...LIVE_STATUSES.map((each) => ({ ...queryOf(this.#filters), status: each, limit: 100 })));
    }
    const pages = await Promise.allSettled(queries.map((query) => api.list(query)));
    const found = pages.flatMap((page) => (page.status === "fulfilled" ? page.value.recordings : []));
    return ID.test(q) ? [...found, ...(await one(q))] : found;
  }

  /** Asks one by one of those that were live and lie on older pages: they may have ended, or be gone. */
  async #askOfLiveBut(fresh: ReadonlySet<string>): Promise<void> {
    const unsure = (this.loaded.value?.ids ?? []).filter((id) => {
      const recording = recordingOf(id);
      return recording !== undefined && isLive(recording) && !fresh.has(id);
    });
    await Promise.all(unsure.slice(0, MOST_ASKED_ONE_BY_ONE).map(one));
  }

  /** Of the ids that were there before, those stay that lie beyond the newest page: what it lacks is gone. */
  #take(page: Page, found: readonly Recording[]): void {
    const before = this.loaded.value;
    const oldest = page.recordings.at(-1)?.createdAt ?? "";
    const older = page.nextCursor ? (before?.ids ?? []).filter((id) => createdAt(id) < oldest) : [];
    const ids = unique([...found.map(({ id }) => id), ...older]);
    ids.sort((one, other) => createdAt(other).localeCompare(createdAt(one)));
    const wentOn = this.#wentOn && page.nextCursor !== null;
    this.loaded.value = { ids, nextCursor: wentOn ? (before?.nextCursor ?? null) : page.nextCursor };
  }
}

let latest: { key: string; list: RecordingList } | undefined;

/** Returns the list for these filters: the one that was shown last, if it is the same, with all that it has loaded. */
export function listOf(filters: Filters): RecordingList {
  const key = listPath(filters);
  if (latest?.key !== key) latest = { key, list: new RecordingList(filters) };
  return latest.list;
}

export function anyLive(recordings: readonly Recording[]): boolean {
  return recordings.some(isLive);
}

export function isForbidden(error: unknown): boolean {
  return error instanceof ApiError && error.status === 403;
}

export function queryOf(filters: Filters): Query {
  const query: Query = { limit: PAGE };
  if (filters.status) query.status = filters.status;
  if (filters.kind) query.source = filters.kind;
  if (filters.reference) query.reference = filters.reference;
  if (filters.from) query.from = midnight(filters.from, 0);
  if (filters.to) query.to = midnight(filters.to, 1);
  return query;
}

/** Tells whether a recording is one of those that are looked for, as far as the page can tell. */
export function matches(recording: Recording, filters: Filters): boolean {
  if (filters.status && recording.status !== filters.status) return false;
  if (filters.kind && recording.source !== filters.kind) return false;
  const sought = filters.q.trim().toLowerCase();
  if (!sought) return true;
  const texts = [
    titleOf(recording),
    recording.roomName,
    recording.reference ?? "",
    recording.id,
    recording.pageUrl ?? "",
  ];
  return texts.some((text) => text.toLowerCase().includes(sought));
}

async function one(id: string): Promise<Recording[]> {
  try {
    return [(await loadDetail(id)).recording];
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 410)) forget(id);
    return [];
  }
}

function createdAt(id: string): string {
  return recordingOf(id)?.createdAt ?? "";
}

/** Returns the beginning of a day here, some days later, as the API wants it. */
function midnight(day: string, later: number): string {
  const [year = 0, month = 1, date = 1] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}

function unique(ids: readonly string[]): string[] {
  return [...new Set(ids)];
}
