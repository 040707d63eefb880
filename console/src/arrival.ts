import { useEffect } from "preact/hooks";
import { texts } from "./texts.ts";

let first = true;

/** Names the tab after a view, and when the view has been gone to, lets reading go on at its heading. */
export function useArrival(title: string): void {
  useEffect(() => {
    document.title = `${title} · ${texts.product}`;
  }, [title]);
  useEffect(() => {
    if (!first) document.querySelector("h1")?.focus({ preventScroll: true });
    first = false;
  }, []);
}
