import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import "@preact/signals";
import { Notices } from "./parts/notices.tsx";
import { follow, go, route } from "./route.ts";
import { resume, session } from "./session.ts";
import { say } from "./store/notices.ts";
import { texts } from "./texts.ts";
import { Frame, SignIn } from "./views/frame.tsx";
import { LicencesView } from "./views/licences.tsx";
import { ListView, EmptyReel } from "./views/list.tsx";
import { RecordingView } from "./views/recording.tsx";
import { SharedView } from "./views/shared.tsx";
import { StartDialog } from "./views/start.tsx";

function App() {
  const [starting, setStarting] = useState(false);
  const here = route.value;
  useHeading(here.view === "recording" ? here.id : here.view);
  if (here.view === "shared") return <SharedView token={here.token} />;
  if (here.view === "licences") return <LicencesView />;
  if (session.value !== "in" && session.value !== "ended") return <SignIn />;
  return (
    <Frame start={() => setStarting(true)}>
      {here.view === "list" && <ListView filters={here.filters} start={() => setStarting(true)} />}
      {here.view === "recording" && <RecordingView key={here.id} id={here.id} at={here.at} />}
      {here.view === "unknown" && <Unknown />}
      {starting && <StartDialog close={() => setStarting(false)} />}
      <Notices />
    </Frame>
  );
}

/** Gives each view that is gone to its heading as the place to read on from, and its name to the tab. */
function useHeading(view: string): void {
  const first = useRef(true);
  useEffect(() => {
    const heading = document.querySelector("h1");
    document.title = heading?.textContent ? `${heading.textContent} · ${texts.product}` : texts.product;
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    heading?.focus({ preventScroll: true });
    if (heading?.textContent) say(heading.textContent);
  }, [view]);
}

function Unknown() {
  return (
    <main id="content">
      <div class="empty">
        <EmptyReel />
        <h1 tabIndex={-1}>{texts.notFoundTitle}</h1>
        <p>{texts.notFoundHint}</p>
        <a class="button" href="/console">
          {texts.back}
        </a>
      </div>
    </main>
  );
}

async function boot(): Promise<void> {
  follow();
  const page = document.getElementById("page");
  if (!page) return;
  const { view } = route.value;
  if (view !== "shared" && view !== "licences") {
    const path = await resume();
    if (session.value === "in") go(path, { replace: true });
  }
  render(<App />, page);
}

void boot();
