import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { texts } from "../texts.ts";
import { Icon } from "./icons.tsx";
import { Notices } from "./notices.tsx";

/** Counts the dialogs that are open: of what lies behind one, nothing is read aloud. */
export const dialogs = signal(0);

/** A modal dialog of the browser's own: it keeps the focus inside, ends with Escape or a click beside it, and gives the focus back. */
export function Dialog({
  title,
  close,
  children,
  narrow = false,
}: {
  title: string;
  close: () => void;
  children: ComponentChildren;
  narrow?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    dialogs.value += 1;
    return () => {
      dialogs.value -= 1;
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={narrow ? "dialog narrow" : "dialog"}
      aria-labelledby={heading}
      onClose={close}
      closedby="any"
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button type="button" class="icon-button" aria-label={texts.close} onClick={() => dialog.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
      <Notices />
    </dialog>
  );
}
