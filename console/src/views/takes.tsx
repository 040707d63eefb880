import type { Take } from "../api/contract.ts";
import { clockTime, timecode } from "../format.ts";
import { Icon } from "../parts/icons.tsx";
import type { Seam } from "../takes.ts";
import { recorded } from "../takes.ts";
import { texts } from "../texts.ts";

/** The takes of a recording in order, and between them what each seam is. */
export function TakeStrip({
  takes,
  seams,
  jump,
}: {
  takes: readonly Take[];
  seams: readonly Seam[];
  jump: ((seconds: number) => void) | null;
}) {
  const all = recorded(takes);
  return (
    <section class="takes" aria-labelledby="takes">
      <h2 id="takes">{texts.recording.takes}</h2>
      <ol>
        {all.map((take, index) => {
          const seam = seams.find((each) => each.take === take.take);
          return (
            <li key={take.take} class={take.end === null ? "take live" : "take"}>
              {index > 0 && (
                <p class={`seam ${seam?.kind ?? "other"}`}>
                  <span class="seam-mark" aria-hidden="true" />
                  {seam ? texts.seamText(seam.kind, seam.missing) : texts.seam.other}
                </p>
              )}
              <div class="take-row">
                <span class="take-name">{texts.takeName(index + 1)}</span>
                <span class="take-facts">
                  {take.startedAt && clockTime(take.startedAt)}
                  {" · "}
                  {take.end === null ? texts.takeNow : take.duration === null ? texts.notSaid : timecode(take.duration)}
                </span>
                {jump && (index === 0 || seam) && (
                  <button
                    type="button"
                    class="button tiny"
                    aria-label={texts.seamJump(timecode(seam?.at ?? 0))}
                    onClick={() => jump(seam?.at ?? 0)}
                  >
                    <Icon name="play" />
                    {timecode(seam?.at ?? 0)}
                  </button>
                )}
              </div>
            </li>
          );
        })}
      </ol>
    </section>
  );
}
