import type { components } from "./openapi.d.ts";

type Schemas = components["schemas"];

export type SourceKind = "room_composite" | "participant" | "track_composite" | "track" | "web";

/** The fields of a recording beyond the generated type. */
interface Added {
  title: string | null;
  reference: string | null;
  metadata: Record<string, string>;
  participantIdentity: string | null;
  screenShare: boolean | null;
  audioTrackSid: string | null;
  videoTrackSid: string | null;
  pageUrl: string | null;
  media: "audio_video" | "audio" | "video" | null;
  framerate: number | null;
  orientation: "landscape" | "portrait" | null;
  onWorkerLost: "continue" | "end" | null;
  takeCount: number;
  pauseRequestedAt: string | null;
  streams: { url: string; status?: string; error?: string | null }[] | null;
  /** Told by lists that have it, so that the page need not ask for each recording of a list. */
  posterUrl: string | null;
}

/** A recording; a release that knows more statuses and sources than this page may answer. */
export type Recording = Omit<Schemas["RecordingJson"], "status" | "source"> &
  Partial<Added> & { status: string; source: string };

export interface Take {
  take: number;
  egressId: string | null;
  startedAt: string | null;
  stoppedAt: string | null;
  /** `stopped`, `paused`, `worker_lost`, `upload_failed`, or one that is not known here; null while it records. */
  end: string | null;
  /** Recorded seconds. */
  duration: number | null;
  /** Seconds that the recording lacks between this take and the next. */
  lostSeconds?: number | null;
}

export interface MediaFile {
  kind: "file" | "playlist";
  take?: number;
  url: string;
  size: number | null;
  mimeType: string | null;
  fileName: string | null;
  duration?: number | null;
}

export interface Link {
  linkId: string;
  expiresAt: string;
  createdAt?: string;
  mayDownload?: boolean;
}

export interface Detail {
  recording: Recording;
  downloadUrl: string | null;
  downloadUrlExpiresAt: string | null;
  playbackUrl?: string | null;
  posterUrl?: string | null;
  files?: MediaFile[];
  takes?: Take[];
  links?: Link[];
}

export interface Page {
  recordings: Recording[];
  nextCursor: string | null;
}

export interface StartBody {
  roomName?: string;
  source?: SourceKind;
  trackBased?: boolean;
  trackSid?: string;
  participantIdentity?: string;
  screenShare?: boolean;
  audioTrackSid?: string;
  videoTrackSid?: string;
  pageUrl?: string;
  layout?: string;
  media?: string;
  resolution?: string;
  orientation?: string;
  framerate?: number;
  /** kbit/s */
  videoBitrate?: number;
  /** kbit/s */
  audioBitrate?: number;
  /** Seconds. */
  maxDuration?: number;
  onWorkerLost?: string;
  title?: string;
  reference?: string;
  outputs?: { file?: boolean; hls?: boolean; thumbnails?: boolean; streams?: string[] };
}

export type Started = Omit<Schemas["StartedJson"], "status"> & { status: string };
export type Changed = Omit<Schemas["StoppedJson"], "status"> & { status: string };

export interface Deleted {
  deleted: string[];
  failed: { id: string; code: string; error: string }[];
}

export interface NewLink {
  linkId: string;
  /** Told once: the link's secret is in it. */
  url: string;
  expiresAt: string;
}

export interface Shared {
  title: string | null;
  roomName: string | null;
  startedAt: string | null;
  duration: number | null;
  status: string;
  playbackUrl: string | null;
  downloadUrl?: string | null;
  posterUrl: string | null;
  expiresAt: string;
}

export function isFinal(status: string): boolean {
  return status === "completed" || status === "failed";
}

export function isLive(recording: Recording): boolean {
  return !isFinal(recording.status);
}
