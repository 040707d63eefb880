import type { components } from "./openapi.d.ts";

type Schemas = components["schemas"];

export type SourceKind = Schemas["Source"];
/** A recording; a release that knows more statuses and sources than this page may answer. */
export type Recording = Schemas["RecordingJson"];
export type Take = Schemas["TakeJson"];
export type MediaFile = Schemas["FileJson"];
export type Link = Schemas["LinkJson"];
export type Detail = Schemas["RecordingDetailJson"];
export type Page = Schemas["RecordingListJson"];
export type Started = Schemas["StartedJson"];
export type Changed = Schemas["StoppedJson"];
export type Deleted = Schemas["DeletedManyJson"];
export type NewLink = Schemas["NewLinkJson"];
export type Shared = Schemas["SharedJson"];

/** The document's alternatives say which fields go together; of them, the one that has all fields. */
type AllFields = Partial<Extract<Schemas["StartRequest"], { onWorkerLost: unknown }>>;
type AllOutputs = Partial<Extract<Schemas["OutputsRequest"], { streams: unknown }>>;

/** A start; what is left out has the API's default. */
export type StartBody = Omit<AllFields, "outputs"> & { outputs?: AllOutputs };

export function isFinal(status: string): boolean {
  return status === "completed" || status === "failed";
}

export function isLive(recording: Recording): boolean {
  return !isFinal(recording.status);
}
