import { useEffect, useRef, useState } from "preact/hooks";
import "./elements.ts";
import "../styles/player.css";
import { parseTime, timecode } from "../format.ts";
import { RequestId } from "../parts/copy.tsx";
import { Icon } from "../parts/icons.tsx";
import { problemOf } from "../problems.ts";
import type { Seam } from "../takes.ts";
import { texts } from "../texts.ts";
import type { PlayerProps } from "./lazy.tsx";
import { recall, remember } from "./memory.ts";
import { isPlaylist, Source } from "./source.ts";

const REMEMBER_SECONDS = 5;
/** A link that does not work this often, without anything having played in between, is not asked for again by itself. */
const MOST_RENEWALS = 3;
/** Keys that stand for nothing here: there are no captions, and the keys are listed below the player. */
const HOTKEYS = "noc noshift+/";
const RATES = "0.5 1 1.25 1.5 2";

/** Plays a file, or a playlist while it grows. Positions are recorded seconds. */
export function Player(props: PlayerProps) {
  const video = useRef<HTMLVideoElement>(null);
  const still = useRef<HTMLCanvasElement>(null);
  const engine = useRef<Engine | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [state, setState] = useState<State>(CALM);

  useEffect(() => {
    if (!video.current || !still.current) return;
    const made = new Engine(video.current, still.current, () => latest.current, setState);
    engine.current = made;
    if (props.handle) props.handle.current = made;
    return () => {
      if (props.handle) props.handle.current = null;
      made.end();
    };
  }, []);
  useEffect(() => engine.current?.offer(props.url), [props.url, props.live]);

  const live = isPlaylist(state.url || props.url) && !state.ended;
  const t = texts.player;
  return (
    <div class="player">
      <media-controller
        defaultstreamtype={live ? "live" : "on-demand"}
        hotkeys={HOTKEYS}
        noautoseektolive
        keyboardforwardseekoffset="10"
        keyboardbackwardseekoffset="10"
        novolumepref
        role="region"
        aria-label={t.name(props.name)}
        breakpoints="small:480"
      >
        {/* biome-ignore lint/a11y/useMediaCaption: LiveKit records no captions */}
        <video
          ref={video}
          slot="media"
          playsInline
          preload="metadata"
          poster={props.poster ?? undefined}
          tabIndex={-1}
        />
        {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: a canvas takes no focus */}
        <canvas ref={still} class="still" slot="poster" hidden aria-hidden="true" />
        <media-loading-indicator slot="centered-chrome" noautohide />
        <div class="time-line">
          <div>
            <media-time-range />
            <Seams shown={state.seams} />
          </div>
        </div>
        <media-control-bar>
          <media-play-button notooltip />
          <media-seek-backward-button seekoffset="10" notooltip />
          <media-seek-forward-button seekoffset="10" notooltip />
          <media-mute-button notooltip />
          <media-volume-range />
          {live ? <Behind seconds={state.behind} /> : <media-time-display showduration notoggle />}
          <span class="space" />
          {live && <media-live-button />}
          <media-playback-rate-button rates={RATES} notooltip />
          <media-pip-button notooltip />
          <media-fullscreen-button notooltip />
        </media-control-bar>
      </media-controller>
      <Message state={state} engine={engine} />
      <div class="under-player">
        <details class="keys">
          <summary>{t.keysTitle}</summary>
          {t.keys}
        </details>
        {props.beside}
      </div>
    </div>
  );
}

function Behind({ seconds }: { seconds: number }) {
  return <span class="behind">{seconds < 15 ? "" : `−${timecode(seconds)}`}</span>;
}

/** Marks where takes meet. The list of takes below says the same in words. */
function Seams({ shown }: { shown: readonly ShownSeam[] }) {
  return (
    <div class="seams" aria-hidden="true">
      {shown.map((seam) => (
        <span
          key={seam.percent}
          class={`seam-tick ${seam.kind}`}
          ref={(tick) => tick?.style.setProperty("--at", `${seam.percent}%`)}
        >
          <span class="seam-text">{seam.text}</span>
        </span>
      ))}
    </div>
  );
}

function Message({ state, engine }: { state: State; engine: { current: Engine | null } }) {
  const t = texts.player;
  const problem = state.problem ? problemOf(state.problem) : null;
  return (
    <div class="player-message" role="status">
      {state.resumed !== null && (
        <p>
          {t.resumed(timecode(state.resumed))}
          <button type="button" class="button tiny" onClick={() => engine.current?.seek(0)}>
            {t.fromStart}
          </button>
        </p>
      )}
      {state.fileReady && (
        <p>
          {t.finished}
          <button type="button" class="button tiny" onClick={() => void engine.current?.playFile()}>
            <Icon name="play" />
            {t.watchFile}
          </button>
        </p>
      )}
      {state.broken && (
        <p>
          {state.broken === "gone" ? t.gone : t.broken}
          {problem && <span>{problem.text}</span>}
          {problem && <RequestId id={problem.requestId} />}
          <button type="button" class="button tiny" onClick={() => void engine.current?.again()}>
            {texts.tryAgain}
          </button>
        </p>
      )}
    </div>
  );
}

interface ShownSeam {
  percent: number;
  kind: Seam["kind"];
  text: string;
}

interface State {
  url: string;
  /** The playlist goes on no more. */
  ended: boolean;
  /** Seconds behind the newest picture. */
  behind: number;
  seams: readonly ShownSeam[];
  resumed: number | null;
  /** The playlist plays, and the recording's file is there by now. */
  fileReady: boolean;
  broken: "" | "gone" | "failed";
  problem: unknown;
}

const CALM: State = {
  url: "",
  ended: false,
  behind: 0,
  seams: [],
  resumed: null,
  fileReady: false,
  broken: "",
  problem: null,
};

/** Drives the video element: what it plays, from where, and what is done when a link has run out. */
class Engine {
  readonly #video: HTMLVideoElement;
  readonly #still: HTMLCanvasElement;
  readonly #props: () => PlayerProps;
  readonly #show: (change: (before: State) => State) => void;
  readonly #source: Source;
  readonly #listening = new AbortController();
  #url = "";
  #offered = "";
  #renewals = 0;
  #renewing = false;
  /** Somebody wants it to play: a link that runs out pauses the element as well. */
  #wanted = false;
  /** Somebody has chosen a position: the remembered one is not wanted. */
  #chosen = false;
  #remembered = 0;
  #joints: readonly number[] = [];

  constructor(
    video: HTMLVideoElement,
    still: HTMLCanvasElement,
    props: () => PlayerProps,
    show: (change: (before: State) => State) => void,
  ) {
    this.#video = video;
    this.#still = still;
    this.#props = props;
    this.#show = show;
    this.#source = new Source(video, {
      failed: () => void this.#renew(),
      joints: (joints) => {
        this.#joints = joints;
        this.#mark();
      },
    });
    const on = (name: string, listener: () => void) =>
      video.addEventListener(name, listener, { signal: this.#listening.signal });
    on("timeupdate", () => this.#progressed());
    on("playing", () => this.#playing());
    on("durationchange", () => this.#mark());
    on("progress", () => this.#mark());
    on("play", () => {
      this.#wanted = true;
    });
    on("pause", () => {
      this.#wanted &&= video.error !== null;
      this.#switchIfPossible();
    });
    on("ended", () => this.#switchIfPossible());
    addEventListener("pagehide", () => this.#remember(), { signal: this.#listening.signal });
  }

  end(): void {
    this.#remember();
    this.#listening.abort();
    this.#source.end();
  }

  /** Takes note of the newest link. What plays goes on: a link is changed only when the old one works no more. */
  offer(url: string): void {
    this.#offered = url;
    if (!this.#url) {
      void this.#begin(url);
      return;
    }
    const fileReady = isPlaylist(this.#url) && !isPlaylist(url);
    this.#set({ fileReady });
    if (fileReady && (this.#video.paused || this.#video.ended)) this.#switchIfPossible();
    this.#mark();
  }

  time(): number {
    const total = this.#total();
    return isPlaylist(this.#url) && total !== null ? total - this.#behind() : this.#video.currentTime;
  }

  seek(seconds: number): void {
    this.#chosen = true;
    this.#set({ resumed: null });
    const total = this.#total();
    // A playlist of the last half hour has a time line of its own: only its end is known to be that of the recording.
    const ahead = isPlaylist(this.#url) && total !== null ? this.#edge() - total : 0;
    this.#video.currentTime = Math.max(0, seconds + ahead);
    void this.#video.play().catch(() => undefined);
  }

  /** Plays the finished file from where the playlist is. */
  async playFile(): Promise<void> {
    if (isPlaylist(this.#offered)) return;
    const playing = this.#wanted && !this.#video.ended;
    const at = this.#video.ended ? 0 : this.time();
    await this.#load(this.#offered, () => at, playing);
  }

  /** Tries once more, by a person's wish. */
  async again(): Promise<void> {
    this.#renewals = 0;
    await this.#renew();
  }

  async #begin(url: string): Promise<void> {
    const { at, remember: key, live } = this.#props();
    const asked = parseTime(at);
    const remembered = asked === null && key && !live ? recall(key) : null;
    if (remembered !== null) this.#set({ resumed: remembered });
    const begin = () => (isPlaylist(url) || this.#chosen ? undefined : (asked ?? remembered ?? undefined));
    await this.#load(url, begin, false);
  }

  async #load(url: string, begin: () => number | undefined, play: boolean): Promise<void> {
    this.#url = url;
    this.#joints = [];
    this.#set({ url, ended: false, fileReady: false, broken: "", problem: null });
    const rate = this.#video.playbackRate;
    await this.#source.load(url, begin);
    this.#video.defaultPlaybackRate = rate;
    this.#video.playbackRate = rate;
    if (play) await this.#video.play().catch(() => undefined);
  }

  /** Asks for a new link and goes on where it was; the last picture stands until then. */
  async #renew(): Promise<void> {
    if (this.#renewing) return;
    if (this.#renewals >= MOST_RENEWALS) {
      this.#set({ broken: "failed" });
      return;
    }
    this.#renewing = true;
    this.#renewals += 1;
    const wasPlaylist = isPlaylist(this.#url);
    const at = this.time();
    const behind = this.#behind();
    this.#freeze();
    try {
      const url = await this.#props().renew();
      if (url === null) {
        this.#set({ broken: "gone" });
        return;
      }
      this.#offered = url;
      const stays = wasPlaylist && isPlaylist(url);
      await this.#load(url, () => (stays ? this.#edge() - behind : at), this.#wanted);
    } catch (problem) {
      this.#set({ broken: "failed", problem });
    } finally {
      this.#renewing = false;
    }
  }

  #progressed(): void {
    this.#set({ behind: this.#behind() });
    if (Math.abs(this.#video.currentTime - this.#remembered) >= REMEMBER_SECONDS) this.#remember();
  }

  #playing(): void {
    this.#renewals = 0;
    this.#still.hidden = true;
    this.#set({ broken: "", problem: null, resumed: null });
  }

  #switchIfPossible(): void {
    this.#remember();
    const over = isPlaylist(this.#url) && Number.isFinite(this.#video.duration);
    this.#set({ ended: over });
    if (isPlaylist(this.#url) && this.#offered && !isPlaylist(this.#offered)) void this.playFile();
  }

  #remember(): void {
    const { remember: key } = this.#props();
    if (!key || isPlaylist(this.#url) || !Number.isFinite(this.#video.duration)) return;
    this.#remembered = this.#video.currentTime;
    remember(key, this.#video.ended ? 0 : this.#video.currentTime, this.#video.duration);
  }

  /** Keeps the last picture to be seen while the link is changed. */
  #freeze(): void {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth) return;
    this.#still.width = videoWidth;
    this.#still.height = videoHeight;
    this.#still.getContext("2d")?.drawImage(this.#video, 0, 0);
    this.#still.hidden = false;
  }

  #edge(): number {
    const { seekable, duration } = this.#video;
    if (seekable.length) return seekable.end(seekable.length - 1);
    return Number.isFinite(duration) ? duration : this.#video.currentTime;
  }

  #behind(): number {
    return Math.max(0, this.#edge() - this.#video.currentTime);
  }

  #total(): number | null {
    const { recordedSeconds, live } = this.#props();
    return live ? null : recordedSeconds;
  }

  /** Puts the seams where they are: a file's by the durations of its takes, a playlist's by what it says itself. */
  #mark(): void {
    const { seams } = this.#props();
    const { seekable } = this.#video;
    const start = seekable.length ? seekable.start(0) : 0;
    const length = this.#edge() - start;
    if (!(length > 0)) return;
    const placed = isPlaylist(this.#url)
      ? this.#joints.map((at, index) => ({ at, seam: seams[seams.length - this.#joints.length + index] }))
      : seams.map((seam) => ({ at: seam.at, seam }));
    const shown = placed
      .filter(({ at }) => at > start && at < start + length)
      .map(({ at, seam }) => ({
        percent: Math.round(((at - start) / length) * 1000) / 10,
        kind: seam?.kind ?? ("other" as const),
        text: seam ? texts.seamText(seam.kind, seam.missing) : texts.seam.other,
      }));
    this.#show((before) => (same(before.seams, shown) ? before : { ...before, seams: shown }));
  }

  #set(change: Partial<State>): void {
    this.#show((before) => {
      const names = Object.keys(change) as (keyof State)[];
      return names.every((name) => before[name] === change[name]) ? before : { ...before, ...change };
    });
  }
}

function same(one: readonly ShownSeam[], other: readonly ShownSeam[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
