/** Where somebody stopped watching, for the recordings watched last. */

const KEY = "console:positions";
const MOST = 100;
/** A position so near to either end is not worth coming back to. */
const MARGIN_SECONDS = 5;

type Positions = Record<string, { at: number; when: number }>;

export function recall(id: string): number | null {
  return read()[id]?.at ?? null;
}

export function remember(id: string, at: number, end: number): void {
  const positions = read();
  delete positions[id];
  if (at > MARGIN_SECONDS && at < end - MARGIN_SECONDS) positions[id] = { at: Math.floor(at), when: Date.now() };
  const newest = Object.entries(positions).toSorted(([, one], [, other]) => other.when - one.when);
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(newest.slice(0, MOST))));
  } catch {
    // Without a place to keep it, the next visit begins at the beginning.
  }
}

function read(): Positions {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Positions;
  } catch {
    return {};
  }
}
