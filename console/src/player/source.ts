import type Hls from "hls.js";

/** Where a take ends on the time line of the media, in its own seconds. */
export type Joint = number;

export interface Events {
  /** Playing cannot go on: the link has run out, or the file is gone. */
  failed: () => void;
  /** The playlist has told where its takes meet, the last ones of the recording. */
  joints: (joints: readonly Joint[]) => void;
}

/** Media that a decoder refuses this often is taken for broken. */
const MOST_RECOVERIES = 3;

/** Puts a file or a playlist into a video element, and takes it out again. */
export class Source {
  readonly #video: HTMLVideoElement;
  readonly #events: Events;
  #hls: Hls | null = null;
  #generation = 0;

  constructor(video: HTMLVideoElement, events: Events) {
    this.#video = video;
    this.#events = events;
    video.addEventListener("error", this.#failed);
  }

  /**
   * Loads `url`. `begin` returns where to begin once the length is known; undefined leaves it to the media: the
   * beginning of a file, the live edge of a playlist that goes on.
   */
  async load(url: string, begin: () => number | undefined): Promise<void> {
    this.#generation += 1;
    const generation = this.#generation;
    this.#drop();
    const settle = () => {
      if (generation !== this.#generation) return;
      const at = begin();
      if (at !== undefined) this.#video.currentTime = at;
    };
    this.#video.addEventListener("loadedmetadata", settle, { once: true });
    if (!isPlaylist(url)) {
      this.#video.src = url;
      return;
    }
    const { default: Player } = await import("./hls.ts");
    if (generation !== this.#generation) return;
    if (!Player.isSupported()) {
      this.#video.src = url; // Safari on a phone plays playlists by itself.
      return;
    }
    const hls = new Player({
      liveDurationInfinity: true,
      backBufferLength: 60,
      maxBufferLength: 30,
    });
    this.#hls = hls;
    let recoveries = 0;
    hls.on(Player.Events.ERROR, (_, data) => {
      const status = data.response?.code ?? 0;
      const refused = status === 403 || status === 404 || status === 410;
      if (data.fatal && data.type === Player.ErrorTypes.MEDIA_ERROR && recoveries < MOST_RECOVERIES) {
        recoveries += 1;
        hls.recoverMediaError();
      } else if (data.fatal || refused) this.#failed();
    });
    hls.on(Player.Events.LEVEL_UPDATED, (_, { details }) => {
      this.#video.dispatchEvent(new Event("progress"));
      this.#events.joints(
        details.fragments
          .filter((fragment, index, all) => index > 0 && fragment.cc !== all[index - 1]?.cc)
          .map(({ start }) => start),
      );
    });
    hls.loadSource(url);
    hls.attachMedia(this.#video);
  }

  end(): void {
    this.#generation += 1;
    this.#video.removeEventListener("error", this.#failed);
    this.#drop();
  }

  readonly #failed = (): void => {
    this.#events.failed();
  };

  #drop(): void {
    this.#hls?.destroy();
    this.#hls = null;
  }
}

export function isPlaylist(url: string): boolean {
  return new URL(url, location.href).pathname.endsWith(".m3u8");
}
