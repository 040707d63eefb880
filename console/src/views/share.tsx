import { useState } from "preact/hooks";
import * as api from "../api/client.ts";
import type { Detail, NewLink } from "../api/contract.ts";
import { dateAndTime } from "../format.ts";
import { Copy, RequestId } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { problemOf } from "../problems.ts";
import { tell, tellProblem } from "../store/notices.ts";
import { loadDetail } from "../store/recordings.ts";
import { texts } from "../texts.ts";
import { titleOf } from "../words.ts";

const DEFAULT_SECONDS = 604_800;

/** Makes, lists and revokes the links of a recording. */
export function ShareDialog({ detail, close }: { detail: Detail; close: () => void }) {
  const { id } = detail.recording;
  const [seconds, setSeconds] = useState(DEFAULT_SECONDS);
  const [mayDownload, setMayDownload] = useState(false);
  const [made, setMade] = useState<NewLink | null>(null);
  const [waits, setWaits] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const t = texts.share;

  async function create(event: Event) {
    event.preventDefault();
    if (waits) return;
    setWaits(true);
    setError(null);
    try {
      setMade(await api.createLink(id, seconds, mayDownload));
      await loadDetail(id);
    } catch (failure) {
      setError(failure);
    } finally {
      setWaits(false);
    }
  }

  async function revoke(linkId: string) {
    try {
      await api.revokeLink(id, linkId);
      if (made?.linkId === linkId) setMade(null);
      tell(texts.done.revoked);
    } catch (failure) {
      tellProblem(texts.failed.revoke, failure);
    }
    await loadDetail(id).catch(() => undefined);
  }

  const problem = error === null ? null : problemOf(error);
  const { links } = detail;
  return (
    <Dialog title={`${t.title} ${titleOf(detail.recording)}`} close={close}>
      <p>{t.lead}</p>
      <form class="share-form" onSubmit={(event) => void create(event)}>
        <div class="field">
          <label for="share-expiry">{t.expires}</label>
          <select
            id="share-expiry"
            value={String(seconds)}
            onChange={(event) => setSeconds(Number(event.currentTarget.value))}
          >
            {Object.entries(t.expiries).map(([value, word]) => (
              <option key={value} value={value}>
                {word}
              </option>
            ))}
          </select>
        </div>
        <label class="check">
          <input
            type="checkbox"
            checked={mayDownload}
            onChange={(event) => setMayDownload(event.currentTarget.checked)}
          />
          {t.mayDownload}
        </label>
        <button type="submit" class="button primary" aria-disabled={waits}>
          {t.create}
        </button>
      </form>
      <div role="alert">
        {problem && (
          <div class="form-problem">
            <strong>{texts.failed.share}</strong>
            <p>{problem.text}</p>
            <RequestId id={problem.requestId} />
          </div>
        )}
      </div>
      <div role="status">
        {made && (
          <div class="new-link">
            <p>{t.once}</p>
            <div class="new-link-row">
              <input readOnly value={made.url} aria-label={t.title} onFocus={(event) => event.currentTarget.select()} />
              <Copy text={made.url} kind="primary" />
            </div>
          </div>
        )}
      </div>
      <h3>{t.existing}</h3>
      {links.length === 0 ? (
        <p class="hint">{t.none}</p>
      ) : (
        <ul class="links">
          {links.map((link) => (
            <li key={link.linkId}>
              <span>
                {t.until(dateAndTime(link.expiresAt))}
                {`, ${link.mayDownload ? t.download : t.watchOnly}`}
              </span>
              <button
                type="button"
                class="button tiny"
                aria-label={`${t.revoke}: ${t.until(dateAndTime(link.expiresAt))}`}
                onClick={() => void revoke(link.linkId)}
              >
                {t.revoke}
              </button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}
