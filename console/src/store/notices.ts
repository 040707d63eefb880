import { signal } from "@preact/signals";
import { problemOf } from "../problems.ts";

export interface Notice {
  id: number;
  kind: "done" | "problem";
  title: string;
  text: string;
  requestId: string | null;
}

/** Messages in passing; problems stay until they are dismissed. */
export const notices = signal<readonly Notice[]>([]);
/** The text that a screen reader says next, politely. */
export const said = signal("");

const SHOWN_MILLISECONDS = 5000;
const MOST_NOTICES = 4;
let last = 0;

export function tell(title: string): void {
  const id = add({ kind: "done", title, text: "", requestId: null });
  setTimeout(() => dismiss(id), SHOWN_MILLISECONDS);
}

export function tellProblem(title: string, error: unknown): void {
  add({ kind: "problem", title, ...problemOf(error) });
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

export function say(text: string): void {
  said.value = text;
}

function add(notice: Omit<Notice, "id">): number {
  last += 1;
  const same = (other: Notice) => other.title === notice.title && other.text === notice.text;
  notices.value = [...notices.value.filter((other) => !same(other)), { ...notice, id: last }].slice(-MOST_NOTICES);
  return last;
}
