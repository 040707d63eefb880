import type { ComponentChildren } from "preact";
import { Mark } from "../parts/icons.tsx";
import { session, signIn, signInProblem, signOut, userName } from "../session.ts";
import { texts } from "../texts.ts";

/** The frame around each view of somebody who is signed in. */
export function Frame({ start, children }: { start: () => void; children: ComponentChildren }) {
  return (
    <>
      <a class="skip" href="#content">
        {texts.skip}
      </a>
      <header class="top">
        <a class="brand" href="/console">
          <Mark />
          {texts.product}
        </a>
        <button type="button" class="button primary" onClick={start}>
          <span class="dot" aria-hidden="true" />
          {texts.actions.start}
        </button>
        <details class="account">
          <summary aria-label={texts.signIn.as(userName.value)}>
            <span aria-hidden="true">{userName.value.charAt(0).toUpperCase() || "?"}</span>
          </summary>
          <div class="account-menu">
            <p>{texts.signIn.as(userName.value)}</p>
            <button type="button" class="button" onClick={() => void signOut()}>
              {texts.signIn.out}
            </button>
          </div>
        </details>
      </header>
      {session.value === "ended" && (
        <div class="banner" role="alert">
          <div>
            <strong>{texts.signIn.ended}</strong>
            <p>{texts.signIn.endedHint}</p>
          </div>
          <button type="button" class="button primary" onClick={() => void signIn(location.pathname + location.search)}>
            {texts.signIn.action}
          </button>
        </div>
      )}
      {children}
      <footer class="foot">
        <a href="/console/licences">{texts.licences}</a>
      </footer>
    </>
  );
}

/** The way in. */
export function SignIn() {
  const checking = session.value === "checking";
  return (
    <main id="content" class="sign-in">
      <Mark />
      <h1 tabIndex={-1}>{texts.signIn.title}</h1>
      <p>{texts.signIn.lead}</p>
      <div role="status">{checking && <p class="hint">{texts.signIn.checking}</p>}</div>
      {session.value === "failed" && (
        <div class="form-problem" role="alert">
          <strong>{texts.signIn.failed}</strong>
          <p>{signInProblem.value}</p>
        </div>
      )}
      {!checking && (
        <button type="button" class="button primary" onClick={() => void signIn(location.pathname + location.search)}>
          {texts.signIn.action}
        </button>
      )}
    </main>
  );
}
