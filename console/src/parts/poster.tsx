import { useEffect, useRef, useState } from "preact/hooks";
import type { Recording } from "../api/contract.ts";
import { detailOf, loadDetail } from "../store/recordings.ts";
import { kindWord, titleOf } from "../words.ts";
import { Icon, kindIcon } from "./icons.tsx";

const AT_ONCE = 3;
const waiting: (() => Promise<void>)[] = [];
let running = 0;

/**
 * The picture of a recording; without one, a tile. Lists do not tell its link, so that is asked for once the recording
 * comes into view, a few at a time.
 */
export function Poster({ recording }: { recording: Recording }) {
  const frame = useRef<HTMLDivElement>(null);
  const [broken, setBroken] = useState<string | null>(null);
  const url = useSteady(detailOf(recording.id)?.posterUrl ?? null, broken);
  const mayHave = recording.source !== "track" && recording.media !== "audio" && recording.status !== "failed";
  useEffect(() => {
    if (!mayHave || !frame.current || detailOf(recording.id)) return;
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      enqueue(recording.id);
    });
    seen.observe(frame.current);
    return () => seen.disconnect();
  }, [recording.id, recording.status, mayHave]);
  return (
    <div class="poster" ref={frame}>
      {url && url !== broken ? (
        <img src={url} alt="" loading="lazy" decoding="async" onError={() => setBroken(url)} />
      ) : (
        <Tile recording={recording} />
      )}
    </div>
  );
}

/** Returns the link that was shown first for as long as it names the same picture: each answer signs it anew. */
function useSteady(url: string | null, broken: string | null): string | null {
  const shown = useRef(url);
  const same = url?.split("?")[0] === shown.current?.split("?")[0];
  if (!same || shown.current === broken) shown.current = url;
  return shown.current;
}

function Tile({ recording }: { recording: Recording }) {
  return (
    <div class={`tile tint-${tint(titleOf(recording))}`} aria-hidden="true" title={kindWord(recording)}>
      <Icon name={kindIcon(recording.source)} />
    </div>
  );
}

function tint(text: string): number {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 997;
  return sum % 6;
}

function enqueue(id: string): void {
  waiting.push(async () => {
    if (detailOf(id)) return;
    try {
      await loadDetail(id);
    } catch {
      // A picture that cannot be had is no problem of the list's.
    }
  });
  void work();
}

async function work(): Promise<void> {
  if (running >= AT_ONCE) return;
  running += 1;
  for (let next = waiting.shift(); next; next = waiting.shift()) await next();
  running -= 1;
}
