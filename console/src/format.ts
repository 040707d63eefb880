/** Dates, sizes, durations and plurals, by the browser's language. */

/** The texts are English; where the browser speaks a kind of English, dates and numbers follow its customs. */
const LANGUAGE = globalThis.navigator?.languages?.find((tag) => tag.startsWith("en")) ?? "en-GB";

const plurals = new Intl.PluralRules(LANGUAGE);
const wholeNumber = new Intl.NumberFormat(LANGUAGE);
const time = new Intl.DateTimeFormat(LANGUAGE, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(LANGUAGE, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(LANGUAGE, { day: "numeric", month: "long", year: "numeric" });
const moment = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: "auto" });

const SHORT_UNITS = { hour: "h", minute: "min", second: "s" };
const BYTES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

export function clockTime(iso: string): string {
  return time.format(Date.parse(iso));
}

export function dateAndTime(iso: string): string {
  return moment.format(Date.parse(iso));
}

/** Returns the day of a time: "Today", "Yesterday", a weekday with its date, or a date with its year. */
export function dayName(iso: string, now: number): string {
  const then = new Date(iso);
  const days = Math.round((startOfDay(now) - startOfDay(then.getTime())) / 86_400_000);
  if (days === 0 || days === 1) return capital(relative.format(-days, "day"));
  return (then.getFullYear() === new Date(now).getFullYear() ? day : dayOfYear).format(then);
}

/** Returns a key that is the same for all times of one day here. */
export function dayKey(iso: string): string {
  const then = new Date(iso);
  return `${then.getFullYear()}-${pad(then.getMonth() + 1)}-${pad(then.getDate())}`;
}

/** Returns "4:07" or "1:02:03". */
export function timecode(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** Returns a span in words of at most two units: "3.4 s", "12 min", "1 h 5 min". */
export function span(seconds: number): string {
  if (seconds < 10) return unit(seconds, "second", seconds % 1 ? 1 : 0);
  if (seconds < 60) return unit(Math.round(seconds), "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return unit(minutes, "minute");
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  return rest ? `${unit(hours, "hour")} ${unit(rest, "minute")}` : unit(hours, "hour");
}

/** Returns a span as a screen reader should say it: "4 minutes, 7 seconds". */
export function spokenSpan(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [Math.floor(whole / 3600), "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ] as const;
  const said = parts.filter(([value]) => value > 0).map(([value, name]) => unit(value, name, 0, true));
  return said.length ? said.join(", ") : unit(0, "second", 0, true);
}

export function fileSize(bytes: number): string {
  const step = bytes < 1000 ? 0 : Math.min(BYTES.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** step;
  return new Intl.NumberFormat(LANGUAGE, {
    style: "unit",
    unit: BYTES[step] ?? "byte",
    unitDisplay: step ? "short" : "long",
    maximumFractionDigits: step && value < 10 ? 1 : 0,
  }).format(value);
}

export function count(value: number, one: string, other: string): string {
  return `${wholeNumber.format(value)} ${plurals.select(value) === "one" ? one : other}`;
}

/** Returns "in 3 days" or "2 hours ago". */
export function fromNow(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 90) return relative.format(Math.round(seconds), "second");
  if (size < 5400) return relative.format(Math.round(seconds / 60), "minute");
  if (size < 129_600) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86_400), "day");
}

/** Returns the seconds that "90", "1:30", "1m30s" or "1h2m3s" stand for, or null. */
export function parseTime(text: string | null): number | null {
  if (!text) return null;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  if (/^\d+(:\d{1,2}){1,2}$/.test(text)) return text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  const found = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (!found) return null;
  return Number(found[1] ?? 0) * 3600 + Number(found[2] ?? 0) * 60 + Number(found[3] ?? 0);
}

function unit(value: number, name: "hour" | "minute" | "second", digits = 0, long = false): string {
  const number = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: digits });
  if (!long) return `${number.format(value)} ${SHORT_UNITS[name]}`;
  return count(value, name, `${name}s`);
}

function startOfDay(milliseconds: number): number {
  return new Date(milliseconds).setHours(0, 0, 0, 0);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
