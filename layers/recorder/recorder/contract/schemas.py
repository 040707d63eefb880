"""The JSON of the HTTP contract that is given out, as types: names in camelCase, times ISO 8601 in UTC.

The OpenAPI document is made of them, and the tests hold every answer to them. No function loads this module:
`recorder.contract.answers` makes the values.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from recorder.domain.events import EventType
from recorder.domain.recording import Status
from recorder.domain.sources import Media, Source

type Id = str
"""A UUID."""
type Time = str
"""ISO 8601 in UTC, with milliseconds and Z."""


class RecordingJson(TypedDict):
    """A recording."""

    id: Id
    """Ours, a UUID."""
    roomName: str
    """The recorded room's name."""
    roomSid: str | None
    """LiveKit's id of the room's session, once it is known."""
    egressId: str | None
    """LiveKit's id of the egress, once it is known."""
    status: Status | str
    """`completed` and `failed` are final, every other status is live. A later release may have stored one that this
    one does not know: it is shown as it is."""
    layout: str | None
    """Layout of a room composite that has a picture."""
    codec: str | None
    """Video codec that was asked for."""
    resolution: str | None
    """Resolution that was asked for."""
    startedAt: Time | None
    """When the recording began; until it has, when it was asked for."""
    stoppedAt: Time | None
    """When the recording ended."""
    fileUrl: str | None
    """Where LiveKit says it put the file. It opens nothing by itself: `downloadUrl` does."""
    storageKey: str | None
    """Key of the file in the bucket."""
    fileSize: int | None
    """Bytes, once the file is there."""
    duration: float | None
    """Seconds, once the file is there: the file's own."""
    userId: str
    """Whose recording it is: the subject of the token that started it."""
    createdAt: Time
    """When the recording was asked for."""
    updatedAt: Time
    """When anything of it last changed."""
    source: Source | str
    """The kind of recording; one that only a later release knows is shown as it is."""
    trackSid: str | None
    """LiveKit's id of the recorded track."""
    participantIdentity: str | None
    """Identity of the recorded participant."""
    screenShare: bool
    """Whether the participant's shared screen is recorded instead of their camera."""
    audioTrackSid: str | None
    """LiveKit's id of the audio track of a track composite."""
    videoTrackSid: str | None
    """LiveKit's id of the video track of a track composite."""
    pageUrl: str | None
    """The recorded web page; `roomName` is then only a label."""
    media: Media | str | None
    """`audio_video`, `audio` or `video`; null for a track, which is stored as it is."""
    orientation: str | None
    """Orientation that was asked for."""
    framerate: int | None
    """Frames a second that were asked for."""
    title: str | None
    """The owner's title for it."""
    reference: str | None
    """The caller's own id of it, by which lists can be filtered."""
    metadata: dict[str, str] | None
    """The caller's own pairs."""
    audioCodec: str | None
    """Audio codec that was asked for."""
    audioBitrate: int | None
    """kbit/s, where the request named it."""
    videoBitrate: int | None
    """kbit/s, where the request named it."""
    failureCode: str | None
    """Why it failed: one of ours, such as `worker_lost`, or LiveKit's numeric error code.

    With `completed`, `stored_elsewhere`: its file is not in this deployment's bucket.
    """
    failureReason: str | None
    """Why it failed, for a person."""
    endReason: str | None
    """Why it ended: `stopped`, `deleted`, `max_duration`, `start_timeout`, `pause_timeout`, `take_limit`,
    `nothing_published` (for too long), `source_closed`, `limit_reached`, `worker_lost`, `upload_failed` or `failed`.

    Or, where LiveKit's worker ended it: `cpu_exhausted`, `process_killed`, `streams_stopped`, `failure`, and
    `ended_by_worker` for a reason that this version does not know.
    """
    maxDuration: int | None
    """Seconds after which it is stopped."""
    expiresAt: Time | None
    """When it is deleted, where recordings are kept for a limited time."""
    fileName: str | None
    """Name under which a browser saves the file."""
    mimeType: str | None
    """Media type of the file."""
    onWorkerLost: str
    """`continue` or `end`: what happens when the worker that records is lost."""
    takeCount: int
    """How many takes have recorded. More than one after a pause or a lost worker."""
    pauseRequestedAt: Time | None
    """When a pause was asked for that LiveKit has not confirmed yet."""
    streams: list[StreamJson]
    """The streams that were asked for, in their order."""
    thumbnailCount: int | None
    """How many thumbnails there are; null where none were asked for. While it records, only the answer of one recording
    counts what is there already: elsewhere the count lags behind."""


class StreamJson(TypedDict):
    """A stream of the current or last take."""

    url: str
    """Where it goes, without its key: `rtmp://host/…`."""
    status: str | None
    """`connecting`, `active`, `retrying` (its receiver is lost, and LiveKit connects again and again), `finished` or
    `failed`; null as long as LiveKit has said nothing. A stream that fails harms nothing else."""
    failureReason: NotRequired[str]
    """Why it failed, for a person."""


class TakeJson(TypedDict):
    """One take: an egress that recorded for the recording."""

    take: int
    """Its number. Numbers may be missing: an attempt that was refused uses one too."""
    egressId: str | None
    """LiveKit's id of its egress."""
    startedAt: Time | None
    """When it began to record."""
    stoppedAt: Time | None
    """When it ended; null while it records."""
    end: str | None
    """Why it ended: `stopped`, `paused`, `worker_lost`, `upload_failed`, `source_closed`, `limit_reached` or `failed`;
    null while it records."""
    duration: float | None
    """Seconds that it recorded, as far as is known."""
    lostSeconds: NotRequired[float]
    """Where its worker was lost: the seconds between its last one and the first of the next take, which no file has."""


class FileJson(TypedDict):
    """A file of the recording."""

    kind: Literal["file", "playlist"]
    """Its kind. A playlist is HLS of the caller's own: its segments lie beside it, as private as it is."""
    take: NotRequired[int]
    """The take that it holds, where there is one of each take."""
    url: str
    """A presigned link that saves it."""
    size: int
    """Bytes; of a playlist those of its segments."""
    mimeType: str | None
    """Media type."""
    fileName: str
    """Name under which a browser saves it."""
    duration: NotRequired[float]
    """Seconds."""


class StartedJson(TypedDict):
    """The answer of Start."""

    recordingId: Id
    """The new recording's id."""
    egressId: str | None
    """LiveKit's id of the egress; null where LiveKit's answer was lost (202)."""
    status: Status
    """The status at the moment in which the start was accepted."""


class StoppedJson(TypedDict):
    """The answer of PATCH."""

    recordingId: Id
    """The recording's id."""
    egressId: str | None
    """LiveKit's id of the egress, once it is known."""
    status: Status | str
    """`stopping` until the file exists."""
    fileUrl: str | None
    """Where LiveKit says it put the file."""
    duration: float | None
    """Seconds, once the file is there."""


class LinkJson(TypedDict):
    """A link by which somebody without an account may watch a recording."""

    linkId: Id
    """The link's id."""
    expiresAt: Time
    """When it ends."""
    mayDownload: bool
    """Whether it gives the file for saving too."""


class NewLinkJson(TypedDict):
    """The answer to a new link."""

    linkId: Id
    """The link's id, by which it is revoked."""
    url: str
    """The address to pass on: it is shown this once, and the token behind `#` is all that opens it."""
    expiresAt: Time
    """When it ends."""


class SharedJson(TypedDict):
    """A recording as its link shows it."""

    title: str | None
    """The owner's title for it."""
    roomName: str
    """The recorded room's name."""
    startedAt: Time | None
    """When the recording began; until it has, when it was asked for."""
    duration: float | None
    """Seconds, once the file is there."""
    status: Status | str
    """`completed` and `failed` are final, every other status is live."""
    playbackUrl: str | None
    """A presigned link that plays the file in a browser, and ends with the link at the latest; null until there is a
    file."""
    downloadUrl: NotRequired[str | None]
    """The same for saving it, where the link allows that."""
    posterUrl: str | None
    """A link to a picture of the recording; null where there is none."""
    expiresAt: Time
    """When the link ends, or the recording's retention."""


class RecordingDetailJson(TypedDict):
    """One recording with links to its file."""

    recording: RecordingJson
    """The recording as it is now."""
    downloadUrl: str | None
    """A presigned link that needs no token; null until there is a file."""
    links: list[LinkJson]
    """The links to it that have not expired, without their secret, oldest first."""
    downloadUrlExpiresAt: Time | None
    """When the presigned links end at the latest, an hour after this answer.

    It ends sooner where the keys that signed it do, of which AWS does not always tell the end. S3 then answers 403:
    ask for the recording again.
    """
    playbackUrl: str | None
    """Address for a player: while it records in segments the live playlist (HLS), then a presigned link to the file.

    Null where there is nothing to play (yet). A player that gets a 403 or 404 asks for the recording again.
    """
    posterUrl: str | None
    """A presigned link to a picture of the recording; null where there is none."""
    files: list[FileJson]
    """The file of the recording, or one for each take where these could not be joined, and the playlists of HLS."""
    takes: list[TakeJson]
    """The takes that have recorded, oldest first."""


class RecordingListJson(TypedDict):
    """One page of a caller's recordings."""

    recordings: list[RecordingJson]
    """At most as many as `limit` says."""
    nextCursor: str | None
    """The `cursor` of the next page; null on the last."""


class SuccessJson(TypedDict):
    """The answer where there is nothing else to say."""

    success: bool
    """Always true."""


class DeletedJson(TypedDict):
    """The answer of Delete."""

    success: bool
    """Always true."""
    notDeleted: NotRequired[list[str]]
    """Addresses of files that stay: LiveKit's worker put them into a storage that is not this deployment's."""


class NotDeletedJson(TypedDict):
    """A recording that was not deleted."""

    id: Id
    """The id that was asked for."""
    code: str
    """The error for a program: as a single deletion would answer it."""
    error: str
    """The error for a person."""


class DeletedManyJson(TypedDict):
    """The answer of the deletion of several."""

    deleted: list[Id]
    """The recordings that are gone for their owner; files and egress follow within a minute or two."""
    failed: list[NotDeletedJson]
    """The recordings that are not."""


class ErrorDetailJson(TypedDict):
    """One thing wrong with a request."""

    field: str
    """The field of the body, parameter of the query, or header."""
    message: str
    """Why it is refused."""


class ErrorJson(TypedDict):
    """Every error's body."""

    error: str
    """The error for a person: the cause, and a remedy."""
    code: str
    """The error for a program."""
    requestId: str
    """The id under which the logs tell more."""
    details: NotRequired[list[ErrorDetailJson]]
    """Each thing wrong with an invalid request."""
    recordingId: NotRequired[Id]
    """With `recording_in_progress`: the recording that is in the way, if it is the caller's own."""


class EventJson(TypedDict):
    """The detail of an event on the bus, version 1.

    `sequence` orders the events of one recording; `id` is the same each time an event is delivered.
    """

    version: int
    id: str
    type: EventType
    recordingId: Id
    sequence: int
    occurredAt: Time
    take: int
    """The number of the take that the recording had then."""
    recording: RecordingJson
