import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Detail, MediaFile, Recording } from "../api/contract.ts";
import { isFinal, isLive } from "../api/contract.ts";
import { ApiError } from "../api/errors.ts";
import { useArrival } from "../arrival.ts";
import { now, serverTime } from "../clock.ts";
import { dateAndTime, fileSize, fromNow, span, timecode } from "../format.ts";
import { Copy, RequestId } from "../parts/copy.tsx";
import { Download } from "../parts/download.tsx";
import { Icon } from "../parts/icons.tsx";
import { Recorded, Status } from "../parts/status.tsx";
import type { PlayerHandle } from "../player/lazy.tsx";
import { LazyPlayer } from "../player/lazy.tsx";
import { problemOf, sentence } from "../problems.ts";
import { go, recordingPath } from "../route.ts";
import { poll } from "../store/polling.ts";
import { busy, change, changes, detailOf, isGone, loadDetail, rename } from "../store/recordings.ts";
import { recorded, recordedSeconds, seams } from "../takes.ts";
import { texts } from "../texts.ts";
import { kindWord, statusKey, titleOf } from "../words.ts";
import { EmptyReel, mayPause } from "./list.tsx";
import { RemoveDialog } from "./remove.tsx";
import { ShareDialog } from "./share.tsx";
import { TakeStrip } from "./takes.tsx";

/** A recording without a playlist by then has none: its deployment keeps no segments, or its codec has none. */
const FIRST_PICTURE_SECONDS = 30;

export function RecordingView({ id, at }: { id: string; at: string | null }) {
  const [problem, setProblem] = useState<unknown>(null);
  const detail = detailOf(id);
  useEffect(() => {
    setProblem(null);
    const polling = poll(
      async () => {
        try {
          await loadDetail(id);
          setProblem(null);
        } catch (error) {
          setProblem(error);
          throw error;
        }
      },
      () => {
        const known = detailOf(id);
        return known !== undefined && isLive(known.recording);
      },
    );
    const stopListening = changes.subscribe((count) => count > 0 && polling.again());
    return () => {
      stopListening();
      polling.end();
    };
  }, [id]);
  const gone = isGone(id);
  useEffect(() => {
    if (gone) go("/console", { replace: true });
  }, [gone]);
  return (
    <main id="content" class="recording-view">
      <a class="back" href="/console">
        <Icon name="back" />
        {texts.back}
      </a>
      {problem !== null && <Trouble problem={problem} known={detail !== undefined} />}
      {detail && !lost(problem) ? <Loaded detail={detail} at={at} /> : problem === null && <Waiting />}
    </main>
  );
}

function lost(problem: unknown): boolean {
  return problem instanceof ApiError && (problem.status === 404 || problem.status === 410 || problem.status === 403);
}

function Loaded({ detail, at }: { detail: Detail; at: string | null }) {
  const { recording } = detail;
  const player = useRef<PlayerHandle>(null);
  const title = titleOf(recording);
  useArrival(title);
  const takes = detail.takes;
  const joints = takes ? seams(takes) : [];
  return (
    <>
      <header class="recording-head">
        <Title recording={recording} />
        <div class="recording-state">
          <Status recording={recording} />
          <Recorded recording={recording} takes={takes} />
        </div>
        <Actions detail={detail} />
      </header>
      <Hint recording={recording} />
      <div class="recording-body">
        <div class="recording-main">
          <Picture detail={detail} at={at} player={player} seams={joints} />
          <Failure recording={recording} />
          {takes && recorded(takes).length > 1 && (
            <TakeStrip
              takes={takes}
              seams={joints}
              jump={isFinal(recording.status) && detail.playbackUrl ? (to) => player.current?.seek(to) : null}
            />
          )}
        </div>
        <Facts recording={recording} title={title} />
      </div>
    </>
  );
}

function Picture({
  detail,
  at,
  player,
  seams: joints,
}: {
  detail: Detail;
  at: string | null;
  player: { current: PlayerHandle | null };
  seams: ReturnType<typeof seams>;
}) {
  const { recording } = detail;
  if (detail.playbackUrl) {
    return (
      <LazyPlayer
        key={recording.id}
        handle={player}
        name={titleOf(recording)}
        url={detail.playbackUrl}
        poster={detail.posterUrl}
        live={isLive(recording)}
        seams={joints}
        recordedSeconds={recording.duration}
        remember={recording.id}
        at={at}
        beside={isFinal(recording.status) && <CopyMoment id={recording.id} player={player} />}
        renew={async () => (await loadDetail(recording.id)).playbackUrl}
      />
    );
  }
  const parts = partsOf(detail);
  if (parts.length) return <Parts recording={recording} parts={parts} refresh={() => loadDetail(recording.id)} />;
  // The reason of the failure is told below, and says more than an empty frame.
  if (recording.status === "failed") return null;
  return (
    <div class="no-picture">
      {detail.posterUrl && <img src={detail.posterUrl} alt="" />}
      <p>{whyNothing(detail)}</p>
    </div>
  );
}

function whyNothing({ recording, takes }: Detail): string {
  const t = texts.recording;
  if (recording.status === "stopping") return t.saving;
  if (isFinal(recording.status)) return t.noFile;
  const seconds = recordedSeconds(recording, takes, serverTime()) ?? 0;
  const late = recording.status === "active" && seconds > FIRST_PICTURE_SECONDS;
  return late || recording.source === "track" ? t.noLive : t.waitingLive;
}

function Title({ recording }: { recording: Recording }) {
  const [editing, setEditing] = useState(false);
  const title = titleOf(recording);
  const pencil = useRef<HTMLButtonElement>(null);
  function end() {
    setEditing(false);
    requestAnimationFrame(() => pencil.current?.focus());
  }
  if (!editing) {
    return (
      <div class="title">
        <h1 tabIndex={-1}>{title}</h1>
        <button
          ref={pencil}
          type="button"
          class="icon-button"
          aria-label={texts.actions.rename}
          title={texts.actions.rename}
          onClick={() => setEditing(true)}
        >
          <Icon name="pencil" />
        </button>
      </div>
    );
  }
  return (
    <form
      class="title"
      onSubmit={(event) => {
        event.preventDefault();
        const typed = new FormData(event.currentTarget).get("title");
        const next = typeof typed === "string" && typed.trim() ? typed.trim() : null;
        end();
        if (next !== recording.title) void rename(recording.id, next);
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") end();
      }}
    >
      <h1 class="unseen" tabIndex={-1}>
        {title}
      </h1>
      <input
        name="title"
        class="title-input"
        aria-label={texts.recording.titleLabel}
        placeholder={recording.roomName}
        maxLength={200}
        defaultValue={recording.title ?? ""}
        ref={(input) => input?.focus()}
      />
      <button type="submit" class="button primary">
        {texts.actions.save}
      </button>
      <button type="button" class="button" onClick={end}>
        {texts.cancel}
      </button>
    </form>
  );
}

function Actions({ detail }: { detail: Detail }) {
  const { recording } = detail;
  const [open, setOpen] = useState<"share" | "remove" | null>(null);
  const waits = busy(recording.id);
  const act = (action: "pause" | "resume" | "stop") => waits || void change(recording.id, action);
  const { status } = recording;
  const t = texts.actions;
  return (
    <div class="actions">
      {status === "active" && mayPause(recording) && !recording.pauseRequestedAt && (
        <button type="button" class="button" aria-disabled={waits} onClick={() => act("pause")}>
          <Icon name="pause" />
          {t.pause}
        </button>
      )}
      {status === "paused" && (
        <button type="button" class="button primary" aria-disabled={waits} onClick={() => act("resume")}>
          <span class="dot" aria-hidden="true" />
          {t.resume}
        </button>
      )}
      {isLive(recording) && status !== "stopping" && (
        <button type="button" class="button" aria-disabled={waits} onClick={() => act("stop")}>
          <Icon name="stop" />
          {t.stop}
        </button>
      )}
      {detail.downloadUrl && <Download url={detail.downloadUrl} size={recording.fileSize} />}
      {(status !== "failed" || detail.links.length > 0) && (
        <button type="button" class="button" onClick={() => setOpen("share")}>
          <Icon name="share" />
          {t.share}
        </button>
      )}
      <button
        type="button"
        class="icon-button"
        aria-label={t.remove}
        title={t.remove}
        aria-disabled={waits}
        onClick={() => waits || setOpen("remove")}
      >
        <Icon name="trash" />
      </button>
      {open === "share" && <ShareDialog detail={detail} close={() => setOpen(null)} />}
      {open === "remove" && (
        <RemoveDialog recordings={[recording]} close={() => setOpen(null)} done={() => undefined} />
      )}
    </div>
  );
}

function Hint({ recording }: { recording: Recording }) {
  const hint = texts.statusHint[statusKey(recording)];
  return hint && recording.status !== "active" ? <p class="state-hint">{hint}</p> : null;
}

function Failure({ recording }: { recording: Recording }) {
  const lostOne = recording.status === "completed" && recording.endReason === "worker_lost";
  if (recording.status !== "failed" && !lostOne) return null;
  const t = texts.recording;
  const calm = recording.failureCode === "stopped_before_start";
  const advice = texts.advice[recording.failureCode ?? recording.endReason ?? ""] ?? texts.advice.otherwise;
  const support = t.supportText(recording.id, recording.egressId);
  return (
    <section class={calm ? "panel" : "panel problem"} aria-labelledby="failure">
      <h2 id="failure">{t.failedTitle}</h2>
      <p>
        {sentence(recording.failureReason ?? texts.endReason[recording.endReason ?? ""] ?? "") ||
          texts.problem.unexpected}
      </p>
      <h3>{t.todo}</h3>
      <p>{advice}</p>
      {!calm && (
        <p class="support">
          <span>
            {t.support}: <code>{support}</code>
          </span>
          <Copy text={support} kind="tiny" />
        </p>
      )}
    </section>
  );
}

/** A recording whose takes could not be joined: each part plays by itself. */
function Parts({ recording, parts, refresh }: { recording: Recording; parts: readonly MediaFile[]; refresh: Refresh }) {
  const [chosen, setChosen] = useState(parts[0]?.take ?? 0);
  const part = parts.find(({ take }) => take === chosen) ?? parts[0];
  if (!part) return null;
  return (
    <>
      <LazyPlayer
        key={part.take}
        name={`${titleOf(recording)}, ${texts.takeName(part.take ?? 0)}`}
        url={part.url}
        poster={null}
        live={false}
        seams={[]}
        recordedSeconds={part.duration ?? null}
        remember={`${recording.id}/${part.take}`}
        at={null}
        renew={async () => partsOf(await refresh()).find(({ take }) => take === part.take)?.url ?? null}
      />
      <section class="panel" aria-labelledby="parts">
        <h2 id="parts">{texts.recording.partsTitle}</h2>
        <p>{texts.recording.parts}</p>
        <ul class="part-list">
          {parts.map((each) => (
            <li key={each.take}>
              <button
                type="button"
                class="button"
                aria-pressed={each === part}
                onClick={() => setChosen(each.take ?? 0)}
              >
                <Icon name="play" />
                {texts.takeName(each.take ?? 0)}
                {each.duration ? <span class="timecode">{timecode(each.duration)}</span> : null}
              </button>
              <Download url={each.url} size={each.size} />
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}

type Refresh = () => Promise<Detail>;

function partsOf(detail: Detail): MediaFile[] {
  return detail.files.filter(({ kind, take }) => kind === "file" && take !== undefined);
}

function CopyMoment({ id, player }: { id: string; player: { current: PlayerHandle | null } }) {
  const [path, setPath] = useState("");
  return (
    <span
      class="copy-moment"
      onPointerEnter={() => setPath(momentOf(id, player))}
      onFocusCapture={() => setPath(momentOf(id, player))}
      onPointerDownCapture={() => setPath(momentOf(id, player))}
    >
      <Copy text={path || momentOf(id, player)} label={texts.actions.copyMoment} />
    </span>
  );
}

function momentOf(id: string, player: { current: PlayerHandle | null }): string {
  const seconds = Math.floor(player.current?.time() ?? 0);
  return `${location.origin}${recordingPath(id)}?t=${seconds}`;
}

function Facts({ recording, title }: { recording: Recording; title: string }) {
  const t = texts.recording;
  const time = now.peek() || serverTime();
  const facts: [string, ComponentChildren][] = [];
  const add = (name: string, value: ComponentChildren) => {
    if (value !== null && value !== undefined && value !== "") facts.push([name, value]);
  };
  add(t.kind, kindWord(recording));
  if (recording.roomName !== title) add(t.room, recording.roomName);
  add(t.participant, recording.participantIdentity);
  add(t.page, recording.pageUrl);
  add(t.started, recording.startedAt && recording.status !== "starting" ? dateAndTime(recording.startedAt) : null);
  add(t.stopped, recording.stoppedAt && isFinal(recording.status) ? dateAndTime(recording.stoppedAt) : null);
  if (isFinal(recording.status)) {
    add(t.duration, recording.duration === null ? null : timecode(recording.duration));
    add(t.size, recording.fileSize === null ? null : fileSize(recording.fileSize));
    const reason = recording.endReason;
    // A failure is told of in its own place.
    if (reason && !["stopped", "failure", "failed"].includes(reason))
      add(t.endReason, texts.endReason[reason] ?? reason);
  }
  if (recording.source !== "track") add(t.resolution, recording.resolution);
  if (recording.source === "room_composite")
    add(t.layout, texts.start.layouts[recording.layout ?? ""] ?? recording.layout);
  if (recording.maxDuration && isLive(recording)) add(t.maxDuration, span(recording.maxDuration));
  add(t.reference, recording.reference);
  for (const [name, value] of Object.entries(recording.metadata ?? {})) add(name, value);
  if (recording.streams.length) add(t.streams, recording.streams.map(({ url }) => url).join(", "));
  add(t.expires, recording.expiresAt ? fromNow(recording.expiresAt, time) : null);
  return (
    <aside class="recording-facts" aria-labelledby="facts">
      <h2 id="facts">{t.facts}</h2>
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </aside>
  );
}

function Trouble({ problem, known }: { problem: unknown; known: boolean }) {
  const said = problemOf(problem);
  // The frame tells of a session that has ended.
  if (known && problem instanceof ApiError && problem.status === 401) return null;
  if (lost(problem) || !known) {
    const status = problem instanceof ApiError ? problem.status : 0;
    const t = texts.recording;
    const [title, hint] =
      status === 404
        ? [t.notFoundTitle, t.notFoundHint]
        : status === 410
          ? [t.goneTitle, t.goneHint]
          : [texts.failed.get, said.text];
    return (
      <div class="empty" role="alert">
        <EmptyReel />
        <h1 tabIndex={-1}>{title}</h1>
        <p>{hint}</p>
        <RequestId id={said.requestId} />
        <a class="button" href="/console">
          {texts.back}
        </a>
      </div>
    );
  }
  return (
    <div class="banner problem" role="alert">
      <Icon name="warn" />
      <div>
        <p>{said.text}</p>
        <RequestId id={said.requestId} />
      </div>
    </div>
  );
}

function Waiting() {
  return (
    <div class="skeleton" role="status">
      <span class="unseen">{texts.loading}</span>
      <div class="skeleton-title" />
      <div class="skeleton-picture" />
    </div>
  );
}
