import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../parts/icons.tsx";
import type { Filters } from "../route.ts";
import { go, listPath, NO_FILTERS } from "../route.ts";
import { texts } from "../texts.ts";

const TYPING_MILLISECONDS = 250;

export function anyFilter(filters: Filters): boolean {
  return Object.values(filters).some((value) => value !== "");
}

/** Search and filters. Each stands in the address, so that what is found can be passed on and gone back to. */
export function FilterBar({ filters }: { filters: Filters }) {
  const used = Object.entries(filters).filter(([name, value]) => name !== "q" && value !== "").length;
  const [open, setOpen] = useState(used > 0);
  const set = (change: Partial<Filters>, replace = false) => go(listPath({ ...filters, ...change }), { replace });
  return (
    <search>
      <form class="filter-bar" onSubmit={(event) => event.preventDefault()}>
        <Search text={filters.q} set={(q) => set({ q }, true)} />
        <button
          type="button"
          class="button"
          aria-expanded={open}
          aria-controls="filters"
          onClick={() => setOpen(!open)}
        >
          <Icon name="filter" />
          {texts.list.filters}
          {used > 0 && <span class="count">{used}</span>}
        </button>
        <div id="filters" class="filters" hidden={!open}>
          <Choice
            label={texts.list.status}
            value={filters.status}
            options={texts.statusFilter}
            set={(status) => set({ status })}
          />
          <Choice label={texts.list.kind} value={filters.kind} options={texts.kind} set={(kind) => set({ kind })} />
          <Field label={texts.list.from} days value={filters.from} set={(from) => set({ from })} />
          <Field label={texts.list.to} days value={filters.to} set={(to) => set({ to })} />
          <Field label={texts.list.reference} value={filters.reference} set={(reference) => set({ reference })} />
          {used > 0 && (
            <button type="button" class="button quiet" onClick={() => set({ ...NO_FILTERS, q: filters.q })}>
              {texts.list.clear}
            </button>
          )}
        </div>
      </form>
    </search>
  );
}

function Search({ text, set }: { text: string; set: (text: string) => void }) {
  const [typed, setTyped] = useState(text);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <label class="search">
      <span class="unseen">{texts.list.search}</span>
      <Icon name="search" />
      <input
        type="search"
        value={typed}
        placeholder={texts.list.search}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => {
          const value = event.currentTarget.value;
          setTyped(value);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => set(value.trim()), TYPING_MILLISECONDS);
        }}
      />
    </label>
  );
}

function Choice({
  label,
  value,
  options,
  set,
}: {
  label: string;
  value: string;
  options: Record<string, string>;
  set: (value: string) => void;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => set(event.currentTarget.value)}>
        <option value="">{texts.list.any}</option>
        {Object.entries(options).map(([name, word]) => (
          <option key={name} value={name}>
            {word}
          </option>
        ))}
      </select>
    </label>
  );
}

function Field({
  label,
  days = false,
  value,
  set,
}: {
  label: string;
  days?: boolean;
  value: string;
  set: (value: string) => void;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type={(days ? "date" : "text") as "text"}
        value={value}
        onChange={(event) => set(event.currentTarget.value.trim())}
      />
    </label>
  );
}
