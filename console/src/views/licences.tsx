import { useEffect, useState } from "preact/hooks";
import { useArrival } from "../arrival.ts";
import { texts } from "../texts.ts";

/** The licences of everything that is part of the built page. */
export function LicencesView() {
  const [text, setText] = useState("");
  useArrival(texts.licences);
  useEffect(() => {
    void fetch("/console/licences.txt").then(async (response) => {
      if (response.ok) setText(await response.text());
    });
  }, []);
  return (
    <main id="content" class="licences-view">
      <h1 tabIndex={-1}>{texts.licences}</h1>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, which a keyboard must be able to do */}
      <pre tabIndex={0}>{text || texts.loading}</pre>
    </main>
  );
}
