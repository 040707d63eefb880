/** Drawn for this page on a grid of 20: one weight of line, round ends. */

const PATHS = {
  search: "M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12Zm4.5-1.5L17 17",
  pause: "M7 5v10M13 5v10",
  stop: "M6 6h8v8H6Z",
  play: "M7 4.5v11l8.5-5.5Z",
  share: "M8 12l4.5-4.5M9 6.5l1.8-1.8a3.2 3.2 0 0 1 4.5 4.5L13.5 11M11 13.5l-1.8 1.8a3.2 3.2 0 0 1-4.5-4.5L6.5 9",
  trash: "M4 6h12M8 6V4h4v2M5.5 6l.7 10h7.6l.7-10M8.5 9v4.5M11.5 9v4.5",
  pencil: "M4 16l.7-3.3L13 4.4a1.5 1.5 0 0 1 2.6 2.6L7.3 15.3Z",
  download: "M10 3.5v9M6.5 9.5 10 13l3.5-3.5M4 16.5h12",
  close: "M5 5l10 10M15 5 5 15",
  back: "M11.5 4.5 6 10l5.5 5.5",
  check: "M4.5 10.5 8 14l7.5-8",
  warn: "M10 4 3 16h14Zm0 4.5v3.5m0 2v.1",
  copy: "M7.5 7.5v-4h9v9h-4M3.5 7.5h9v9h-9Z",
  filter: "M3.5 5.5h13M6 10h8M8.5 14.5h3",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm0-11v4l2.5 2",
  room: "M3.5 5h13v10h-13ZM10 5v10M3.5 10h13",
  person: "M10 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM4 16.5c.6-3 3-4.5 6-4.5s5.4 1.5 6 4.5",
  tracks: "M3.5 6h9M3.5 10h13M3.5 14h6",
  wave: "M3.5 8.5v3M6.7 6v8M10 3.5v13M13.3 6v8M16.5 8.5v3",
  globe: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm-7-7h14M10 3c2.5 2 2.5 12 0 14M10 3c-2.5 2-2.5 12 0 14",
} as const;

export type IconName = keyof typeof PATHS;

const FILLED: readonly IconName[] = ["stop", "play"];

export function Icon({ name }: { name: IconName }) {
  const filled = FILLED.includes(name);
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill={filled ? "currentColor" : "none"} />
    </svg>
  );
}

/** The product's mark: a reel of tape whose two ends do not quite meet, because the second take joins them. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 28 28" width="28" height="28" aria-hidden="true" focusable="false">
      <path class="reel" d="M14 3.5a10.5 10.5 0 1 1-9.1 5.2" />
      <path class="reel faint" d="M7.2 5.9A10.5 10.5 0 0 1 11 3.9" />
      <circle class="hub" cx="14" cy="14" r="4" />
    </svg>
  );
}

export function kindIcon(kind: string): IconName {
  switch (kind) {
    case "participant":
      return "person";
    case "track":
      return "wave";
    case "track_composite":
      return "tracks";
    case "web":
      return "globe";
    default:
      return "room";
  }
}
