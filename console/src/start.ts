import type { SourceKind, StartBody } from "./api/contract.ts";
import { texts } from "./texts.ts";

/** The fields that a person has filled in so far. */
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
  /** kbit/s */
  videoBitrate: string;
  /** kbit/s */
  audioBitrate: string;
  maxMinutes: string;
  onWorkerLost: string;
  file: boolean;
  hls: boolean;
  thumbnails: boolean;
  /** Addresses, one a line. */
  streams: string;
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
  videoBitrate: "",
  audioBitrate: "",
  maxMinutes: "",
  onWorkerLost: "continue",
  file: true,
  hls: false,
  thumbnails: false,
  streams: "",
};

export type Field = Exclude<keyof Draft, "kind">;

const OF_ALL: readonly Field[] = ["roomName", "title", "reference", "maxMinutes"];
const ENCODED: readonly Field[] = ["resolution", "orientation", "framerate", "videoBitrate", "audioBitrate"];
const OUTPUTS: readonly Field[] = ["file", "hls", "thumbnails", "streams"];

const FIELDS: Record<SourceKind, readonly Field[]> = {
  room_composite: [...OF_ALL, "layout", "media", ...ENCODED, "onWorkerLost", ...OUTPUTS],
  participant: [...OF_ALL, "participantIdentity", "screenShare", ...ENCODED, "onWorkerLost", ...OUTPUTS],
  track_composite: [...OF_ALL, "audioTrackSid", "videoTrackSid", ...ENCODED, ...OUTPUTS],
  track: [...OF_ALL, "trackSid"],
  web: [...OF_ALL, "pageUrl", ...ENCODED, ...OUTPUTS],
};

/** The fields of the API without which a kind cannot be asked for. */
const NAMED_BY: Record<SourceKind, readonly string[]> = {
  room_composite: ["roomName"],
  participant: ["source", "participantIdentity"],
  track_composite: ["source", "audioTrackSid", "videoTrackSid"],
  track: ["trackBased", "trackSid"],
  web: ["source", "pageUrl"],
};

/** The fields of the API whose names are not those of the draft. */
const API_NAMES: Partial<Record<Field, string>> = {
  maxMinutes: "maxDuration",
  file: "outputs",
  hls: "outputs",
  thumbnails: "outputs",
  streams: "outputs",
};
const NUMBERS: ReadonlySet<Field> = new Set(["framerate", "videoBitrate", "audioBitrate"]);

/** Returns the kinds that an API with these fields can record. */
export function kindsOf(known: ReadonlySet<string>): SourceKind[] {
  return (Object.keys(FIELDS) as SourceKind[]).filter((kind) => NAMED_BY[kind].every((name) => known.has(name)));
}

/** Returns the fields of a kind, of those that the API has. */
export function fieldsOf(kind: SourceKind, known: ReadonlySet<string>): ReadonlySet<Field> {
  return new Set(FIELDS[kind].filter((name) => known.has(API_NAMES[name] ?? name)));
}

/** Returns the field that the API calls so, such as `streams` for `outputs.streams.0`. */
export function fieldCalled(name: string): string {
  const [first, second = "file"] = name.split(".");
  if (first === "outputs") return second;
  return first === "maxDuration" ? "maxMinutes" : name;
}

/** Returns what is still needed, as the text to show at each field. */
export function missingOf(draft: Draft, fields: ReadonlySet<Field>): Partial<Record<Field, string>> {
  const needed: Partial<Record<Field, string>> = {};
  if (draft.kind !== "web" && !draft.roomName.trim()) needed.roomName = texts.start.required;
  for (const name of ["participantIdentity", "trackSid", "pageUrl"] as const) {
    if (fields.has(name) && !draft[name].trim()) needed[name] = texts.start.required;
  }
  if (fields.has("audioTrackSid") && !draft.audioTrackSid.trim() && !draft.videoTrackSid.trim()) {
    needed.audioTrackSid = texts.start.oneTrack;
  }
  if (fields.has("file") && !draft.file && !draft.hls) needed.file = texts.start.oneOutput;
  return needed;
}

/** Returns the request; what is left as the API's own default is left out. */
export function bodyOf(draft: Draft, fields: ReadonlySet<Field>): StartBody {
  const body: Record<string, unknown> = {};
  if (draft.kind === "track") body.trackBased = true;
  else if (draft.kind !== EMPTY.kind) body.source = draft.kind;
  for (const name of fields) {
    if (API_NAMES[name]) continue;
    const given = trimmed(draft[name]);
    if (given === "" || given === EMPTY[name]) continue;
    body[name] = NUMBERS.has(name) ? Number(given) : given;
  }
  const minutes = Number(draft.maxMinutes);
  if (draft.maxMinutes.trim() && minutes > 0) body.maxDuration = Math.round(minutes * 60);
  const outputs = fields.has("file") ? outputsOf(draft) : {};
  if (Object.keys(outputs).length) body.outputs = outputs;
  return body as StartBody;
}

function outputsOf(draft: Draft): NonNullable<StartBody["outputs"]> {
  const streams = draft.streams.split(/\s+/).filter((url) => url !== "");
  return {
    ...(draft.file ? {} : { file: false }),
    ...(draft.hls ? { hls: true } : {}),
    ...(draft.thumbnails ? { thumbnails: true } : {}),
    ...(streams.length ? { streams } : {}),
  };
}

function trimmed(value: string | boolean): string | boolean {
  return typeof value === "string" ? value.trim() : value;
}
