import { dismiss, notices, said } from "../store/notices.ts";
import { texts } from "../texts.ts";
import { RequestId } from "./copy.tsx";
import { Icon } from "./icons.tsx";

/** Messages in passing. The regions are there from the start: a region that comes with its text is not read. */
export function Notices() {
  const problems = notices.value.filter(({ kind }) => kind === "problem");
  const done = notices.value.filter(({ kind }) => kind === "done");
  return (
    <div class="notices">
      <div role="alert">
        {problems.map((notice) => (
          <div class="notice problem" key={notice.id}>
            <Icon name="warn" />
            <div>
              <strong>{notice.title}</strong>
              <p>{notice.text}</p>
              <RequestId id={notice.requestId} />
            </div>
            <button type="button" class="icon-button" aria-label={texts.dismiss} onClick={() => dismiss(notice.id)}>
              <Icon name="close" />
            </button>
          </div>
        ))}
      </div>
      <div role="status">
        {done.map((notice) => (
          <div class="notice" key={notice.id}>
            <Icon name="check" />
            <strong>{notice.title}</strong>
          </div>
        ))}
      </div>
      <div role="status" class="unseen">
        {said.value}
      </div>
    </div>
  );
}
