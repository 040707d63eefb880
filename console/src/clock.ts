import { signal } from "@preact/signals";

/** The server's time in milliseconds, told anew each second while somebody looks and something ticks. */
export const now = signal(Date.now());

const TICK_MILLISECONDS = 1000;
let offset = 0;
let watchers = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** Takes the `Date` of an answer for the server's clock: durations tick by it, whatever this machine's clock says. */
export function hearServerTime(date: string | null): void {
  const told = date ? Date.parse(date) : Number.NaN;
  if (Number.isNaN(told)) return;
  const measured = told - Date.now();
  // The header counts whole seconds: what is within two of them is the same clock.
  offset = Math.abs(measured) < 2000 ? 0 : measured;
}

export function serverTime(): number {
  return Date.now() + offset;
}

/** Lets `now` tick until the returned function is called. */
export function tick(): () => void {
  watchers += 1;
  now.value = serverTime();
  timer ??= setInterval(() => {
    if (!document.hidden) now.value = serverTime();
  }, TICK_MILLISECONDS);
  return () => {
    watchers -= 1;
    if (watchers === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}
