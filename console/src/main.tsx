import { render } from "preact";
import { useState } from "preact/hooks";
import "@preact/signals";
import { useArrival } from "./arrival.ts";
import { dialogs } from "./parts/dialog.tsx";
import { Notices } from "./parts/notices.tsx";
import { follow, go, route } from "./route.ts";
import { resume, session } from "./session.ts";
import { texts } from "./texts.ts";
import { Frame, SignIn } from "./views/frame.tsx";
import { LicencesView } from "./views/licences.tsx";
import { EmptyReel, ListView } from "./views/list.tsx";
import { RecordingView } from "./views/recording.tsx";
import { SharedView } from "./views/shared.tsx";
import { StartDialog } from "./views/start.tsx";

function App() {
  const [starting, setStarting] = useState(false);
  const here = route.value;
  if (here.view === "shared") return <SharedView token={here.token} />;
  if (here.view === "licences") return <LicencesView />;
  if (session.value !== "in" && session.value !== "ended") return <SignIn />;
  return (
    <Frame start={() => setStarting(true)}>
      {here.view === "list" && <ListView filters={here.filters} start={() => setStarting(true)} />}
      {here.view === "recording" && <RecordingView key={here.id} id={here.id} at={here.at} />}
      {here.view === "unknown" && <Unknown />}
      {starting && <StartDialog close={() => setStarting(false)} />}
      {dialogs.value === 0 && <Notices />}
    </Frame>
  );
}

function Unknown() {
  useArrival(texts.notFoundTitle);
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
