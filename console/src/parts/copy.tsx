import { useState } from "preact/hooks";
import { say } from "../store/notices.ts";
import { texts } from "../texts.ts";
import { Icon } from "./icons.tsx";

const SHOWN_MILLISECONDS = 2000;

/** A button that copies a text, and says so. */
export function Copy({ text, label, kind = "quiet" }: { text: string; label?: string; kind?: string }) {
  const [done, setDone] = useState(false);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return; // The text stands beside the button and can be marked by hand.
    }
    setDone(true);
    say(texts.copied);
    setTimeout(() => setDone(false), SHOWN_MILLISECONDS);
  }
  return (
    <button type="button" class={`button ${kind}`} onClick={() => void copy()}>
      <Icon name={done ? "check" : "copy"} />
      {done ? texts.copied : (label ?? texts.copy)}
    </button>
  );
}

/** The id under which the logs tell more, with a button to copy it. */
export function RequestId({ id }: { id: string | null }) {
  if (!id) return null;
  return (
    <span class="request-id">
      {texts.problem.requestId} <code>{id}</code> <Copy text={id} kind="tiny" />
    </span>
  );
}
