import { useEffect, useState } from "preact/hooks";
import * as api from "../api/client.ts";
import type { Shared } from "../api/contract.ts";
import { isFinal } from "../api/contract.ts";
import { ApiError } from "../api/errors.ts";
import { useArrival } from "../arrival.ts";
import { dateAndTime, timecode } from "../format.ts";
import { RequestId } from "../parts/copy.tsx";
import { Download } from "../parts/download.tsx";
import { Mark } from "../parts/icons.tsx";
import { LazyPlayer } from "../player/lazy.tsx";
import { problemOf } from "../problems.ts";
import { poll } from "../store/polling.ts";
import { texts } from "../texts.ts";
import { EmptyReel } from "./list.tsx";

/** The page behind a share link: it needs no account, and knows nothing but the token in the address. */
export function SharedView({ token }: { token: string }) {
  const [shared, setShared] = useState<Shared | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  useEffect(() => {
    let latest: Shared | null = null;
    async function refresh() {
      try {
        latest = await api.shared(token);
        setShared(latest);
        setProblem(null);
      } catch (error) {
        setProblem(error);
        throw error;
      }
    }
    const polling = poll(refresh, () => latest !== null && !isFinal(latest.status));
    return () => polling.end();
  }, [token]);
  const gone = problem instanceof ApiError && (problem.status === 404 || problem.status === 400);
  return (
    <div class="shared">
      <header class="top">
        <span class="brand">
          <Mark />
          {texts.product}
        </span>
      </header>
      <main id="content" class="shared-view">
        {gone ? (
          <div class="empty">
            <EmptyReel />
            <h1 tabIndex={-1}>{texts.shared.goneTitle}</h1>
            <p>{texts.shared.goneHint}</p>
          </div>
        ) : shared ? (
          <Content shared={shared} token={token} />
        ) : problem !== null ? (
          <Trouble problem={problem} />
        ) : (
          <div class="skeleton" role="status">
            <span class="unseen">{texts.loading}</span>
            <div class="skeleton-picture" />
          </div>
        )}
      </main>
      <footer class="foot">
        <a href="/console/licences">{texts.licences}</a>
      </footer>
    </div>
  );
}

function Content({ shared, token }: { shared: Shared; token: string }) {
  const title = shared.title ?? shared.roomName ?? texts.product;
  useArrival(title);
  const live = !isFinal(shared.status);
  const word = texts.status[shared.status] ?? shared.status;
  return (
    <>
      <p class="eyebrow">{texts.shared.title}</p>
      <h1 tabIndex={-1}>{title}</h1>
      <p class="facts">
        <span class={`status ${shared.status}`}>
          <span class="dot" aria-hidden="true" />
          {word}
        </span>
        {shared.startedAt && <span>{dateAndTime(shared.startedAt)}</span>}
        {!live && shared.duration !== null && <span class="timecode">{timecode(shared.duration)}</span>}
      </p>
      {shared.playbackUrl ? (
        <LazyPlayer
          name={title}
          url={shared.playbackUrl}
          poster={shared.posterUrl}
          live={live}
          seams={[]}
          recordedSeconds={shared.duration}
          remember={null}
          at={null}
          renew={async () => (await api.shared(token)).playbackUrl}
          beside={<Beside shared={shared} />}
        />
      ) : (
        <div class="no-picture">
          {shared.posterUrl && <img src={shared.posterUrl} alt="" />}
          <p>{live ? texts.shared.nothingYet : texts.recording.noFile}</p>
        </div>
      )}
      {!shared.playbackUrl && <Beside shared={shared} />}
    </>
  );
}

/** Until when the link works, and the download where the link allows one. */
function Beside({ shared }: { shared: Shared }) {
  return (
    <>
      <span class="hint">{texts.shared.until(dateAndTime(shared.expiresAt))}</span>
      {shared.downloadUrl && <Download url={shared.downloadUrl} size={null} />}
    </>
  );
}

function Trouble({ problem }: { problem: unknown }) {
  const said = problemOf(problem);
  return (
    <div class="empty" role="alert">
      <EmptyReel />
      <h1 tabIndex={-1}>{texts.failed.get}</h1>
      <p>{said.text}</p>
      <RequestId id={said.requestId} />
    </div>
  );
}
