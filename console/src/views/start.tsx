import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import * as api from "../api/client.ts";
import { ApiError } from "../api/errors.ts";
import { RequestId } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Icon, kindIcon } from "../parts/icons.tsx";
import { problemOf } from "../problems.ts";
import { go, recordingPath } from "../route.ts";
import { settings } from "../settings.ts";
import type { Draft, Field } from "../start.ts";
import { bodyOf, EMPTY, fieldCalled, fieldsOf, kindsOf, missingOf } from "../start.ts";
import { tell } from "../store/notices.ts";
import { changes } from "../store/recordings.ts";
import { texts } from "../texts.ts";

const RESOLUTIONS = { "1080p": "1080p", "720p": "720p", "480p": "480p" };
const FRAMERATES = { 15: "15", 24: "24", 30: "30", 60: "60" };

/** Starts a recording. The same key goes with each try of the same wish, so that a try too many records nothing twice. */
export function StartDialog({ close }: { close: () => void }) {
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [attempt, setAttempt] = useState({ body: "", key: "" });
  const [waits, setWaits] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [missing, setMissing] = useState<Partial<Record<Field, string>>>({});
  const form = useRef<HTMLFormElement>(null);
  const known = new Set(settings().startFields);
  const fields = fieldsOf(draft.kind, known);
  const set = (change: Partial<Draft>) => setDraft({ ...draft, ...change });
  const problems: Partial<Record<string, string>> = { ...fieldProblems(error), ...missing };

  // The first field with a problem gets the focus, also where it is folded away.
  useEffect(() => {
    const first = form.current?.querySelector<HTMLElement>("[aria-invalid='true']");
    const folded = first?.closest("details");
    if (folded) folded.open = true;
    first?.focus();
  }, [error, missing]);

  async function submit(event: Event) {
    event.preventDefault();
    if (waits) return;
    const lacking = missingOf(draft, fields);
    setMissing(lacking);
    if (Object.keys(lacking).length) return;
    const body = bodyOf(draft, fields);
    const text = JSON.stringify(body);
    const key = attempt.body === text ? attempt.key : crypto.randomUUID();
    setAttempt({ body: text, key });
    setWaits(true);
    setError(null);
    try {
      const answer = await api.start(body, key);
      tell(texts.done.started(draft.title || draft.roomName || draft.pageUrl));
      changes.value += 1;
      close();
      go(recordingPath(answer.recordingId));
    } catch (failure) {
      setError(failure);
    } finally {
      setWaits(false);
    }
  }

  const input = (name: Field, label: string, hint?: string, type: "text" | "url" | "number" = "text") => (
    <Labelled name={name} label={label} hint={hint} problem={problems[name]}>
      {(described) => (
        <input
          id={`start-${name}`}
          type={type as "text"}
          value={String(draft[name])}
          autocomplete="off"
          spellcheck={name === "title"}
          min={type === "number" ? 1 : undefined}
          aria-invalid={problems[name] !== undefined}
          aria-describedby={described}
          onInput={(event) => set({ [name]: event.currentTarget.value })}
        />
      )}
    </Labelled>
  );
  const choice = (name: Field, label: string, options: Record<string, string>) => (
    <Labelled name={name} label={label} problem={problems[name]}>
      {(described) => (
        <select
          id={`start-${name}`}
          value={String(draft[name])}
          aria-invalid={problems[name] !== undefined}
          aria-describedby={described}
          onChange={(event) => set({ [name]: event.currentTarget.value })}
        >
          {Object.entries(options).map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      )}
    </Labelled>
  );
  const check = (name: "screenShare" | "file" | "hls" | "thumbnails", label: string) => (
    <label class="check">
      <input
        type="checkbox"
        checked={draft[name]}
        aria-invalid={problems[name] !== undefined}
        onChange={(event) => set({ [name]: event.currentTarget.checked })}
      />
      {label}
    </label>
  );
  const t = texts.start;
  return (
    <Dialog title={t.title} close={close}>
      <form ref={form} class="start-form" onSubmit={(event) => void submit(event)} noValidate>
        <fieldset class="kinds">
          <legend>{t.what}</legend>
          {kindsOf(known).map((kind) => (
            <label key={kind} class="kind">
              <input
                type="radio"
                name="kind"
                value={kind}
                checked={draft.kind === kind}
                onChange={() => set({ kind })}
              />
              <Icon name={kindIcon(kind)} />
              <span>{texts.kind[kind]}</span>
            </label>
          ))}
          <p class="hint">{texts.kindHint[draft.kind]}</p>
        </fieldset>
        {fields.has("pageUrl") && input("pageUrl", t.pageUrl, undefined, "url")}
        {input(
          "roomName",
          draft.kind === "web" ? t.roomNameLabel : t.roomName,
          draft.kind === "web" ? undefined : t.roomHint,
        )}
        {fields.has("participantIdentity") && input("participantIdentity", t.participantIdentity)}
        {fields.has("screenShare") && check("screenShare", t.screenShare)}
        {fields.has("trackSid") && input("trackSid", t.trackSid, t.sidHint)}
        {fields.has("audioTrackSid") && (
          <div class="pair">
            {input("audioTrackSid", t.audioTrackSid, t.tracksHint)}
            {input("videoTrackSid", t.videoTrackSid, t.sidHint)}
          </div>
        )}
        {fields.has("title") && input("title", t.recordingTitle)}
        <details class="more">
          <summary>{t.more}</summary>
          <div class="pairs">
            {fields.has("layout") && choice("layout", t.layout, t.layouts)}
            {fields.has("media") && choice("media", t.media, t.medias)}
            {fields.has("resolution") && choice("resolution", t.resolution, RESOLUTIONS)}
            {fields.has("orientation") && choice("orientation", t.orientation, t.orientations)}
            {fields.has("framerate") && choice("framerate", t.framerate, FRAMERATES)}
            {fields.has("videoBitrate") && input("videoBitrate", t.videoBitrate, undefined, "number")}
            {fields.has("audioBitrate") && input("audioBitrate", t.audioBitrate, undefined, "number")}
            {fields.has("onWorkerLost") && choice("onWorkerLost", t.onWorkerLost, t.onWorkerLosts)}
            {input("maxMinutes", t.maxDuration, undefined, "number")}
            {fields.has("reference") && input("reference", t.reference)}
          </div>
          {fields.has("file") && (
            <fieldset class="outputs">
              <legend>{t.outputs}</legend>
              {check("file", t.file)}
              {check("hls", t.hls)}
              {check("thumbnails", t.thumbnails)}
              {problems.file && <p class="field-problem">{problems.file}</p>}
              <Labelled name="streams" label={t.streams} hint={t.streamsHint} problem={problems.streams}>
                {(described) => (
                  <textarea
                    id="start-streams"
                    rows={2}
                    value={draft.streams}
                    autocomplete="off"
                    spellcheck={false}
                    aria-invalid={problems.streams !== undefined}
                    aria-describedby={described}
                    onInput={(event) => set({ streams: event.currentTarget.value })}
                  />
                )}
              </Labelled>
            </fieldset>
          )}
        </details>
        <Failure error={error} close={close} />
        <div class="dialog-actions">
          <button type="button" class="button" onClick={close}>
            {texts.cancel}
          </button>
          <button type="submit" class="button primary" aria-disabled={waits}>
            <span class="dot" aria-hidden="true" />
            {waits ? t.submitting : t.submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Labelled({
  name,
  label,
  hint,
  problem,
  children,
}: {
  name: Field;
  label: string;
  hint?: string | undefined;
  problem?: string | undefined;
  children: (describedBy: string | undefined) => ComponentChildren;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={`start-${name}`}>{label}</label>
      {children(problem || hint ? id : undefined)}
      {(problem || hint) && (
        <p id={id} class={problem ? "field-problem" : "hint"}>
          {problem ?? hint}
        </p>
      )}
    </div>
  );
}

/** The problem with the start as a whole; a problem with one field stands at the field. */
function Failure({ error, close }: { error: unknown; close: () => void }) {
  const problem = error === null ? null : problemOf(error);
  const recordingId = error instanceof ApiError ? error.recordingId : null;
  return (
    <div role="alert">
      {problem && (
        <div class="form-problem">
          <strong>{texts.failed.start}</strong>
          <p>{problem.text}</p>
          {recordingId && (
            <a class="button" href={recordingPath(recordingId)} onClick={close}>
              {texts.start.open}
            </a>
          )}
          <RequestId id={problem.requestId} />
        </div>
      )}
    </div>
  );
}

function fieldProblems(error: unknown): Partial<Record<string, string>> {
  if (!(error instanceof ApiError)) return {};
  return Object.fromEntries(error.details.map(({ field, message }) => [fieldCalled(field), message]));
}
