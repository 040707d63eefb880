import type { SourceKind, StartBody } from "./api/contract.ts";
import { texts } from "./texts.ts";

/** What a person has filled in so far. */
export interface Draft {
  kind: SourceKind;
  roomName: string;
  participantIdentity: string;
  screenShare: boolean;
  trackSid: string;
  audioTrackSid: string;
  videoTrackSid: string;
  pageUrl: string;
  title: string;
  reference: string;
  layout: string;
  media: string;
  resolution: string;
  orientation: string;
  framerate: string;
  maxMinutes: string;
  onWorkerLost: string;
}

export const EMPTY: Draft = {
  kind: "room_composite",
  roomName: "",
  participantIdentity: "",
  screenShare: false,
  trackSid: "",
  audioTrackSid: "",
  videoTrackSid: "",
  pageUrl: "",
  title: "",
  reference: "",
  layout: "grid",
  media: "audio_video",
  resolution: "1080p",
  orientation: "landscape",
  framerate: "30",
  maxMinutes: "",
  onWorkerLost: "continue",
};

type Field = Exclude<keyof Draft, "kind">;

/** The fields of each kind beside the room, title, reference and longest duration, which all have. */
const FIELDS: Record<SourceKind, ReadonlySet<Field>> = {
  room_composite: new Set(["layout", "media", "resolution", "orientation", "framerate", "onWorkerLost"]),
  participant: new Set([
    "participantIdentity",
    "screenShare",
    "resolution",
    "orientation",
    "framerate",
    "onWorkerLost",
  ]),
  track_composite: new Set(["audioTrackSid", "videoTrackSid", "resolution", "orientation", "framerate"]),
  track: new Set(["trackSid"]),
  web: new Set(["pageUrl", "resolution", "orientation", "framerate"]),
};

const NUMBERS: ReadonlySet<Field> = new Set(["framerate"]);

export function fieldsOf(kind: SourceKind): ReadonlySet<Field> {
  return FIELDS[kind];
}

/** Returns what is still needed, as the text to show at each field. */
export function missingOf(draft: Draft): Partial<Record<keyof Draft, string>> {
  const needed: Partial<Record<keyof Draft, string>> = {};
  if (draft.kind !== "web" && !draft.roomName.trim()) needed.roomName = texts.start.required;
  for (const name of ["participantIdentity", "trackSid", "pageUrl"] as const) {
    if (FIELDS[draft.kind].has(name) && !draft[name].trim()) needed[name] = texts.start.required;
  }
  if (draft.kind === "track_composite" && !draft.audioTrackSid.trim() && !draft.videoTrackSid.trim()) {
    needed.audioTrackSid = texts.start.oneOf;
  }
  return needed;
}

/** Returns the request; what is left as the API's own default is left out. */
export function bodyOf(draft: Draft): StartBody {
  const body: Record<string, string | number | boolean> = {};
  if (draft.kind === "track") body.trackBased = true;
  else if (draft.kind !== EMPTY.kind) body.source = draft.kind;
  const names: Field[] = ["roomName", "title", "reference", ...FIELDS[draft.kind]];
  for (const name of names) {
    const value = draft[name];
    const given = typeof value === "string" ? value.trim() : value;
    if (given === "" || given === EMPTY[name]) continue;
    body[name] = NUMBERS.has(name) ? Number(given) : given;
  }
  const minutes = Number(draft.maxMinutes);
  if (draft.maxMinutes.trim() && minutes > 0) body.maxDuration = Math.round(minutes * 60);
  return body as StartBody;
}
