import { useState } from "preact/hooks";
import type { Recording } from "../api/contract.ts";
import { isLive } from "../api/contract.ts";
import { RequestId } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { problemOf } from "../problems.ts";
import type { Report } from "../store/recordings.ts";
import { remove, removeAll } from "../store/recordings.ts";
import { texts } from "../texts.ts";
import { titleOf } from "../words.ts";

/** Asks before it deletes; of several it reports those that could not be. */
export function RemoveDialog({
  recordings,
  close,
  done,
}: {
  recordings: readonly Recording[];
  close: () => void;
  done: () => void;
}) {
  const [report, setReport] = useState<readonly Report[] | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [waits, setWaits] = useState(false);
  const [first] = recordings;
  if (!first) return null;
  const one = recordings.length === 1;
  async function go() {
    if (waits || !first) return;
    setWaits(true);
    if (one) {
      close();
      if (await remove(first.id)) done();
      return;
    }
    try {
      const failed = await removeAll(recordings.map(({ id }) => id));
      done();
      if (failed.length) setReport(failed);
      else close();
    } catch (error) {
      setProblem(error);
    } finally {
      setWaits(false);
    }
  }
  if (report) {
    return (
      <Dialog title={texts.failed.some(report.length, recordings.length)} close={close} narrow>
        <h3>{texts.remove.report}</h3>
        <ul class="report">
          {report.map(({ id, title, error }) => (
            <li key={id}>
              <strong>{title}</strong>
              <span>{error}</span>
            </li>
          ))}
        </ul>
        <div class="dialog-actions">
          <button type="button" class="button primary" onClick={close}>
            {texts.close}
          </button>
        </div>
      </Dialog>
    );
  }
  const said = problem === null ? null : problemOf(problem);
  return (
    <Dialog
      title={one ? texts.remove.title(titleOf(first)) : texts.remove.titleMany(recordings.length)}
      close={close}
      narrow
    >
      <p>{recordings.some(isLive) ? texts.remove.textLive : texts.remove.text}</p>
      {said && (
        <div class="form-problem" role="alert">
          <p>{said.text}</p>
          <RequestId id={said.requestId} />
        </div>
      )}
      <div class="dialog-actions">
        <button type="button" class="button" onClick={close}>
          {texts.cancel}
        </button>
        <button type="button" class="button danger" aria-disabled={waits} onClick={() => void go()}>
          {texts.actions.remove}
        </button>
      </div>
    </Dialog>
  );
}
