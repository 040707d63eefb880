import { useEffect, useState } from "preact/hooks";
import type { Recording } from "../api/contract.ts";
import { isLive } from "../api/contract.ts";
import { useArrival } from "../arrival.ts";
import { now, serverTime } from "../clock.ts";
import { clockTime, dayKey, dayName, fileSize } from "../format.ts";
import { RequestId } from "../parts/copy.tsx";
import { Icon } from "../parts/icons.tsx";
import { Poster } from "../parts/poster.tsx";
import { Recorded, Status } from "../parts/status.tsx";
import { problemOf } from "../problems.ts";
import type { Filters } from "../route.ts";
import { go, listPath, recordingPath } from "../route.ts";
import type { RecordingList } from "../store/list.ts";
import { anyLive, isForbidden, listOf } from "../store/list.ts";
import { say, tellProblem } from "../store/notices.ts";
import { poll } from "../store/polling.ts";
import { busy, change, changes, detailOf } from "../store/recordings.ts";
import { texts } from "../texts.ts";
import { kindWord, titleOf } from "../words.ts";
import { anyFilter, FilterBar } from "./filters.tsx";
import { RemoveDialog } from "./remove.tsx";

export function ListView({ filters, start }: { filters: Filters; start: () => void }) {
  const key = listPath(filters);
  const list = listOf(filters);
  useArrival(texts.list.title);
  const [selected, setSelected] = useState<ReadonlySet<string> | null>(null);
  const [removing, setRemoving] = useState<readonly Recording[] | null>(null);
  useEffect(() => {
    const polling = poll(
      () => list.refresh(),
      () => anyLive(list.shown()),
    );
    const stopListening = changes.subscribe((count) => count > 0 && polling.again());
    return () => {
      stopListening();
      polling.end();
    };
  }, [list]);
  const shown = list.shown();
  const loaded = list.loaded.value !== null;
  useEffect(() => {
    if (loaded && anyFilter(filters)) say(texts.list.results(shown.length));
  }, [loaded, key]);
  const toggle = (id: string) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    setSelected(next);
  };
  return (
    <main id="content" class="list-view">
      <div class="list-head">
        <h1 tabIndex={-1}>{texts.list.title}</h1>
        {shown.length > 0 && (
          <button
            type="button"
            class="button quiet"
            aria-pressed={selected !== null}
            onClick={() => setSelected(selected ? null : new Set())}
          >
            <Icon name="check" />
            {texts.list.select}
          </button>
        )}
      </div>
      <FilterBar filters={filters} />
      <Trouble list={list} />
      {loaded ? (
        <Groups list={list} shown={shown} filters={filters} selected={selected} toggle={toggle} start={start} />
      ) : (
        list.problem.value === null && <Skeleton />
      )}
      {selected !== null && selected.size > 0 && (
        <section class="selection-bar" aria-label={texts.list.select}>
          <span aria-live="polite">{texts.list.selected(selected.size)}</span>
          <button type="button" class="button quiet" onClick={() => setSelected(null)}>
            {texts.cancel}
          </button>
          <button
            type="button"
            class="button danger"
            onClick={() => setRemoving(shown.filter(({ id }) => selected.has(id)))}
          >
            <Icon name="trash" />
            {texts.list.deleteSelected}
          </button>
        </section>
      )}
      {removing && (
        <RemoveDialog recordings={removing} close={() => setRemoving(null)} done={() => setSelected(null)} />
      )}
    </main>
  );
}

function Groups({
  list,
  shown,
  filters,
  selected,
  toggle,
  start,
}: {
  list: RecordingList;
  shown: readonly Recording[];
  filters: Filters;
  selected: ReadonlySet<string> | null;
  toggle: (id: string) => void;
  start: () => void;
}) {
  const live = shown.filter(isLive);
  const rest = shown.filter((recording) => !isLive(recording));
  const older = list.loaded.value?.nextCursor != null;
  if (!shown.length) {
    return anyFilter(filters) ? <NothingFound list={list} older={older} /> : <NothingYet start={start} />;
  }
  return (
    <>
      {live.length > 0 && (
        <section class="live-group" aria-labelledby="live-heading">
          <h2 id="live-heading">{texts.list.live}</h2>
          <ul class="rows">
            {live.map((recording) => (
              <Row key={recording.id} recording={recording} selected={selected} toggle={toggle} />
            ))}
          </ul>
        </section>
      )}
      {days(rest).map(({ key, name, recordings }) => (
        <section key={key} aria-labelledby={`day-${key}`}>
          <h2 id={`day-${key}`}>{name}</h2>
          <ul class="rows">
            {recordings.map((recording) => (
              <Row key={recording.id} recording={recording} selected={selected} toggle={toggle} />
            ))}
          </ul>
        </section>
      ))}
      {older && <Older list={list} searching={filters.q !== ""} />}
    </>
  );
}

function Row({
  recording,
  selected,
  toggle,
}: {
  recording: Recording;
  selected: ReadonlySet<string> | null;
  toggle: (id: string) => void;
}) {
  const title = titleOf(recording);
  const facts = [
    recording.title && recording.roomName ? recording.roomName : null,
    kindWord(recording),
    clockTime(recording.createdAt),
    recording.fileSize ? fileSize(recording.fileSize) : null,
    recording.takeCount > 1 ? texts.takeCount(recording.takeCount) : null,
    recording.reference,
  ].filter((fact) => fact !== null);
  return (
    <li class={isLive(recording) ? "row live" : "row"}>
      {selected && (
        <label class="pick">
          <input
            type="checkbox"
            checked={selected.has(recording.id)}
            onChange={() => toggle(recording.id)}
            aria-label={texts.list.selectOne(title)}
          />
        </label>
      )}
      <Poster recording={recording} />
      <div class="row-text">
        <h3>
          <a class="row-link" href={recordingPath(recording.id)}>
            {title}
          </a>
        </h3>
        <p class="facts">
          {facts.map((fact) => (
            <span key={fact}>{fact}</span>
          ))}
        </p>
      </div>
      <div class="row-state">
        <Status recording={recording} />
        <Recorded recording={recording} takes={detailOf(recording.id)?.takes} />
      </div>
      <RowActions recording={recording} title={title} />
    </li>
  );
}

function RowActions({ recording, title }: { recording: Recording; title: string }) {
  const { id, status } = recording;
  const waits = busy(id);
  if (!isLive(recording)) return <div class="row-actions" />;
  const button = (action: "pause" | "resume" | "stop", icon: "pause" | "play" | "stop") => (
    <button
      type="button"
      class="icon-button"
      aria-label={`${texts.actions[action]}: ${title}`}
      title={texts.actions[action]}
      aria-disabled={waits}
      onClick={() => waits || void change(id, action)}
    >
      <Icon name={icon} />
      <span class="button-text">{texts.actions[action]}</span>
    </button>
  );
  return (
    <div class="row-actions">
      {status === "active" && !recording.pauseRequestedAt && mayPause(recording) && button("pause", "pause")}
      {status === "paused" && button("resume", "play")}
      {status !== "stopping" && button("stop", "stop")}
    </div>
  );
}

/** A track as published has no pause. */
export function mayPause(recording: Recording): boolean {
  return recording.source !== "track";
}

function Older({ list, searching }: { list: RecordingList; searching: boolean }) {
  const loading = list.loadingOlder.value;
  async function more() {
    try {
      await list.older();
      say(texts.list.results(list.shown().length));
    } catch (error) {
      tellProblem(texts.failed.list, error);
    }
  }
  return (
    <div class="older">
      {searching && <p>{texts.list.searched(list.loaded.value?.ids.length ?? 0)}</p>}
      <button type="button" class="button" aria-disabled={loading} onClick={() => loading || void more()}>
        {loading ? texts.loading : searching ? texts.list.searchOlder : texts.list.older}
      </button>
    </div>
  );
}

function NothingYet({ start }: { start: () => void }) {
  return (
    <div class="empty">
      <EmptyReel />
      <h2>{texts.list.emptyTitle}</h2>
      <p>{texts.list.emptyHint}</p>
      <button type="button" class="button primary" onClick={start}>
        <span class="dot" aria-hidden="true" />
        {texts.actions.start}
      </button>
    </div>
  );
}

function NothingFound({ list, older }: { list: RecordingList; older: boolean }) {
  return (
    <div class="empty">
      <EmptyReel />
      <h2>{texts.list.nothingTitle}</h2>
      <p>{texts.list.nothingHint}</p>
      {older && <Older list={list} searching />}
      <button type="button" class="button" onClick={() => go("/console")}>
        {texts.list.clear}
      </button>
    </div>
  );
}

export function EmptyReel() {
  return (
    <svg class="empty-reel" viewBox="0 0 120 48" width="120" height="48" aria-hidden="true" focusable="false">
      <circle cx="24" cy="24" r="18" />
      <circle cx="24" cy="24" r="6" />
      <circle cx="96" cy="24" r="18" />
      <circle cx="96" cy="24" r="6" />
      <path d="M24 42h72" />
    </svg>
  );
}

/** Tells what is wrong with the list. What was there before stays to be seen. */
function Trouble({ list }: { list: RecordingList }) {
  const error = list.problem.value;
  if (error === null) return null;
  if (isForbidden(error)) {
    return (
      <div class="empty" role="alert">
        <EmptyReel />
        <h2>{texts.list.forbiddenTitle}</h2>
        <p>{texts.list.forbiddenHint}</p>
        <RequestId id={problemOf(error).requestId} />
      </div>
    );
  }
  const problem = problemOf(error);
  return (
    <div class="banner problem" role="alert">
      <Icon name="warn" />
      <div>
        <strong>{texts.failed.list}</strong>
        <p>{problem.text}</p>
        <RequestId id={problem.requestId} />
      </div>
      <button type="button" class="button" onClick={() => void list.refresh().catch(() => undefined)}>
        {texts.tryAgain}
      </button>
    </div>
  );
}

function Skeleton() {
  return (
    <div class="skeleton" role="status">
      <span class="unseen">{texts.loading}</span>
      {[0, 1, 2, 3].map((index) => (
        <div class="skeleton-row" key={index} />
      ))}
    </div>
  );
}

interface Day {
  key: string;
  name: string;
  recordings: Recording[];
}

function days(recordings: readonly Recording[]): Day[] {
  const found = new Map<string, Day>();
  const today = now.peek() || serverTime();
  for (const recording of recordings) {
    const key = dayKey(recording.createdAt);
    const day = found.get(key) ?? { key, name: dayName(recording.createdAt, today), recordings: [] };
    day.recordings.push(recording);
    found.set(key, day);
  }
  return [...found.values()];
}
