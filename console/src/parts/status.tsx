import { useEffect } from "preact/hooks";
import type { Recording, Take } from "../api/contract.ts";
import { isFinal, isLive } from "../api/contract.ts";
import { now, tick } from "../clock.ts";
import { clockTime, spokenSpan, timecode } from "../format.ts";
import { recordedSeconds } from "../takes.ts";
import { texts } from "../texts.ts";
import { statusKey, statusWord } from "../words.ts";

/** The status in words. The red dot stands for "is being recorded now", and for nothing else on the whole page. */
export function Status({ recording }: { recording: Recording }) {
  return (
    <span class={`status ${statusKey(recording)}`}>
      <span class="dot" aria-hidden="true" />
      {statusWord(recording)}
    </span>
  );
}

/** How much is recorded; it ticks while something is. */
export function Recorded({ recording, takes }: { recording: Recording; takes: readonly Take[] | undefined }) {
  const ticking = isLive(recording);
  useEffect(() => (ticking ? tick() : undefined), [ticking]);
  const seconds = recordedSeconds(recording, takes, ticking ? now.value : 0);
  if (seconds !== null) {
    // The seconds are left out of what a screen reader hears: it would have to say them again and again.
    return (
      <span class="timecode">
        <span aria-hidden="true">{timecode(seconds)}</span>
        <span class="unseen">{spokenSpan(isFinal(recording.status) ? seconds : Math.floor(seconds / 60) * 60)}</span>
      </span>
    );
  }
  return recording.startedAt && ticking ? (
    <span class="timecode since">{texts.list.since(clockTime(recording.startedAt))}</span>
  ) : null;
}
