import { ApiError } from "../api/errors.ts";
import { session } from "../session.ts";

const LIVE_SECONDS = 5;
const CALM_SECONDS = 30;

/**
 * Runs `refresh` again and again: about every 5 seconds while `live`, every 30 seconds else, never while the tab is
 * hidden, and at once when it is shown again. Returns what ends it, and what runs it at once.
 */
export function poll(refresh: () => Promise<void>, live: () => boolean): { end: () => void; again: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let ended = false;

  async function run(): Promise<void> {
    if (running || ended || session.value === "ended") return;
    clearTimeout(timer);
    running = true;
    let wait = 0;
    try {
      await refresh();
    } catch (error) {
      // The view tells what is wrong; a server that names a time is left alone for that long.
      wait = error instanceof ApiError ? (error.retryAfter ?? CALM_SECONDS) : CALM_SECONDS;
    } finally {
      running = false;
    }
    schedule(wait);
  }

  function schedule(least: number): void {
    clearTimeout(timer);
    if (ended || document.hidden) return;
    const seconds = Math.max(least, live() ? LIVE_SECONDS : CALM_SECONDS);
    timer = setTimeout(() => void run(), seconds * 1000 * jitter());
  }

  function shown(): void {
    if (document.hidden) clearTimeout(timer);
    else void run();
  }

  document.addEventListener("visibilitychange", shown);
  addEventListener("online", shown);
  void run();
  return {
    again: () => void run(),
    end: () => {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
      removeEventListener("online", shown);
    },
  };
}

/** Between 0.8 and 1.2, so that many pages that were opened at once do not ask at once for ever. */
function jitter(): number {
  return 0.8 + Math.random() * 0.4;
}
