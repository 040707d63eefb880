"""A recording: one row of the table `recordings`, and what follows from its columns alone."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from recorder.domain.sources import Media, Source


class Unknown(str):
    """A value that a later release has stored and this one does not know: it is shown as it is."""

    __slots__ = ()


class Status(StrEnum):
    """A recording's status: the last two are final, the others live."""

    STARTING = "starting"
    """Asked for, nothing is recorded yet."""
    ACTIVE = "active"
    """An egress of it records now."""
    PAUSED = "paused"
    """Nothing is recorded; it resumes on demand and holds its target."""
    RESUMING = "resuming"
    """Its next take is starting, after a pause or a lost worker."""
    STOPPING = "stopping"
    """No more is recorded, the file is not there yet."""
    COMPLETED = "completed"
    FAILED = "failed"


FINAL: Final = frozenset({Status.COMPLETED, Status.FAILED})
"""A status that is not among these is live, also one that only a later release knows."""


class StopReason(StrEnum):
    """Why this product asked LiveKit to stop an egress."""

    USER = "stopped"
    DELETED = "deleted"
    MAX_DURATION = "max_duration"
    START_TIMEOUT = "start_timeout"
    PAUSE = "paused"
    """The take ends, the recording does not."""
    PAUSE_TIMEOUT = "pause_timeout"
    TAKE_LIMIT = "take_limit"
    NOTHING_PUBLISHED = "nothing_published"
    """It had to wait too long for somebody to publish."""
    ORPHAN = "orphan"
    STILL_RUNNING = "survivor"
    """It runs although we have called its recording failed."""


class TakeEnd(StrEnum):
    """Why a take ended."""

    STOPPED = "stopped"
    PAUSED = "paused"
    WORKER_LOST = "worker_lost"
    """The egress died, or its worker ended it by its own fault."""
    UPLOAD_FAILED = "upload_failed"
    SOURCE_CLOSED = "source_closed"
    LIMIT_REACHED = "limit_reached"
    FAILED = "failed"


class BegunBy(StrEnum):
    """Why a take was begun."""

    START = "start"
    RESUME = "resume"
    RESCUE = "rescue"
    """By the product itself, after the take before was lost."""


class OnWorkerLost(StrEnum):
    """The caller's choice for a recording whose worker is lost."""

    CONTINUE = "continue"
    END = "end"


class FailureCode(StrEnum):
    """Why a recording failed, where the reason is not an error code of LiveKit's own."""

    ROOM_NOT_FOUND = "room_not_found"
    EGRESS_REFUSED = "egress_refused"
    EGRESS_UNAVAILABLE = "egress_unavailable"
    EGRESS_MISCONFIGURED = "egress_misconfigured"
    EGRESS_FAILED = "egress_failed"
    EGRESS_ABORTED = "egress_aborted"
    STOPPED_BEFORE_START = "stopped_before_start"
    START_LOST = "start_lost"
    START_TIMEOUT = "start_timeout"
    STOP_TIMEOUT = "stop_timeout"
    WORKER_LOST = "worker_lost"
    EGRESS_LOST = "egress_lost"
    STORED_ELSEWHERE = "stored_elsewhere"
    """It is completed, but its file lies in a storage that is not this deployment's."""


GIVEN_UP: Final[Mapping[FailureCode, str]] = MappingProxyType(
    {
        FailureCode.START_LOST: "LiveKit never answered the start, and no egress of this recording exists",
        FailureCode.START_TIMEOUT: "the recording did not begin in time",
        FailureCode.STOP_TIMEOUT: "the recording was stopped, but no file arrived in time",
        FailureCode.WORKER_LOST: "the egress worker vanished from the room without a last word",
        FailureCode.EGRESS_LOST: "LiveKit no longer knows the egress, and it left no file",
    }
)
"""Why we failed a recording by ourselves, for a person."""

CLIENT_FAULTS: Final = frozenset(
    {FailureCode.ROOM_NOT_FOUND, FailureCode.EGRESS_REFUSED, FailureCode.STOPPED_BEFORE_START}
)
"""Failures that users cause or can mend; every other one needs an operator's eye."""


REFUSALS: Final = frozenset(
    {
        FailureCode.ROOM_NOT_FOUND,
        FailureCode.EGRESS_REFUSED,
        FailureCode.EGRESS_UNAVAILABLE,
        FailureCode.EGRESS_MISCONFIGURED,
    }
)
"""How LiveKit refuses a Start: nothing was started."""


OWN_VERDICTS: Final = frozenset(FailureCode) - {
    FailureCode.EGRESS_FAILED,
    FailureCode.EGRESS_ABORTED,
    FailureCode.STOPPED_BEFORE_START,
    FailureCode.STORED_ELSEWHERE,
}
"""Failure codes that we assign ourselves. LiveKit has not reported an end, so the egress may still run."""


MIME_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mp4": "video/mp4",
        "m4a": "audio/mp4",
        "webm": "video/webm",
        "ogg": "audio/ogg",
        "mp3": "audio/mpeg",
        "m3u8": "application/vnd.apple.mpegurl",
    }
)


PREFIX: Final = "recordings/"
SEGMENTS_PREFIX: Final = "segments/"
"""The folder of segments that are kept only until the file is there."""


# Control characters, marks that change the direction of the writing, and halves of surrogate pairs.
_NO_FILE_NAME: Final = (
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
FILE_NAME_BYTES: Final = 200
"""The most that a room's name gives to a file's name: most file systems take 255 in all."""


DESCRIPTION: Final = ("title", "reference", "metadata")
"""The fields of a recording that hold its owner's words about it: its owner may change them at any time."""
_SECRET: Final = frozenset({"stream_urls", "playback_key"})


class Kept(NamedTuple):
    """The outputs of a take that are kept beside its file, as the bucket holds them; None: nothing of the kind."""

    hls_size: int | None = None
    """Bytes of the segments that the caller asked for."""
    thumbnails: int | None = None


class StoredFile(NamedTuple):
    """A file that is in the bucket."""

    key: str
    size: int
    modified_at: datetime
    duration: float | None = None
    """Seconds, where the file says so itself and was asked."""
    beside: Kept | None = None
    """The outputs beside it, where the folder was listed."""


class StoredPart(NamedTuple):
    """A file of a recording that is in the bucket; `take` is set where it holds one take only."""

    key: str
    size: int
    duration: float | None
    take: int | None = None


class AssembledFile(NamedTuple):
    """The one file that the takes of a recording were joined into."""

    key: str
    size: int
    seconds: float
    url: str | None = None


class Take(NamedTuple):
    """An ended take: one egress that recorded for a recording. Times and units as in `Recording`."""

    take: int
    egress_id: str | None
    begun_by: BegunBy | Unknown
    requested_at: datetime
    started_at: datetime | None
    stopped_at: datetime
    end_reason: TakeEnd | Unknown
    reported: bool = False
    """Nothing more is expected of it: LiveKit has reported its end, or it was lost."""
    segments: bool = False
    """It was started with safety segments."""
    segment_count: int | None = None
    """How many of them count, fixed when the next take begins."""
    duration: float | None = None
    hls_size: int | None = None
    thumbnail_count: int | None = None
    lost_seconds: float | None = None
    """Seconds between its last one and the first one of the next take, where it was lost."""
    storage_key: str | None = None
    file_size: int | None = None
    file_url: str | None = None
    failure_code: str | None = None
    failure_reason: str | None = None

    @property
    def has_file(self) -> bool:
        """Whether a file of this take is known to be in the bucket."""
        return self.storage_key is not None and self.file_size is not None

    @property
    def given_up(self) -> bool:
        """Whether it was ended by our own verdict, so that its worker may live on, and still upload."""
        return self.lost or self.failure_code in OWN_VERDICTS

    @property
    def lost(self) -> bool:
        """Whether its worker was lost: nobody told it to end, or it may not have heard."""
        lost = {FailureCode.WORKER_LOST, FailureCode.EGRESS_LOST}
        return self.end_reason is TakeEnd.WORKER_LOST or self.failure_code in lost


class Recording(NamedTuple):
    """One row of the table `recordings`.

    Times are aware datetimes in UTC, durations seconds, sizes bytes, bitrates kbit/s.
    """

    id: UUID
    user_id: str
    room_name: str
    source: Source | Unknown
    status: Status | Unknown
    created_at: datetime
    updated_at: datetime
    status_at: datetime
    """When the status last changed: the deadlines of starting and stopping count from here."""
    layout: str | None = None
    resolution: str | None = None
    codec: str | None = None
    audio_codec: str | None = None
    audio_bitrate: int | None = None
    video_bitrate: int | None = None
    track_sid: str | None = None
    media: Media | Unknown | None = None
    """None in rows of a release without it, and of tracks, which are stored as they are."""
    orientation: str | None = None
    framerate: int | None = None
    """Frames a second."""
    participant_identity: str | None = None
    screen_share: bool = False
    audio_track_sid: str | None = None
    video_track_sid: str | None = None
    page_url: str | None = None
    with_file: bool = True
    """One file is asked for; without it the playlist is what the recording is for."""
    hls_seconds: int | None = None
    """Length of a segment of HLS that is kept; None where the caller asked for none."""
    thumbnail_seconds: int | None = None
    """One thumbnail each; None where there are none."""
    thumbnail_width: int | None = None
    thumbnail_height: int | None = None
    stream_urls: tuple[str, ...] = ()
    """Where each take is streamed to. They carry keys, and are shortened to what may be shown once it is final."""
    stream_states: tuple[str, ...] = ()
    """Statuses of the current take's streams as LiveKit reports them, in the same order; empty until it does."""
    hls_size: int | None = None
    """Bytes of the current take's HLS that is kept, once it has ended."""
    thumbnail_count: int | None = None
    """How many thumbnails the current take has left, as far as LiveKit or the bucket has told."""
    title: str | None = None
    reference: str | None = None
    """The caller's own id of the recording."""
    metadata: Mapping[str, str] | None = None
    room_sid: str | None = None
    egress_id: str | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    storage_key: str | None = None
    file_url: str | None = None
    file_size: int | None = None
    duration: float | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    end_reason: str | None = None
    max_duration: int | None = None
    expires_at: datetime | None = None
    target: str | None = None
    """The key of the thing that may be recorded once at a time; None for adopted rows that collide."""
    idempotency_key: str | None = None
    idempotency_fingerprint: str | None = None
    stop_reason: StopReason | Unknown | None = None
    stop_requested_at: datetime | None = None
    deleted_at: datetime | None = None
    late_upload_until: datetime | None = None
    """Until when the bucket is asked about a final recording.

    A file may still arrive, where we and not LiveKit ended it; or LiveKit named a file that nobody has seen yet.
    """
    recorder_seen_at: datetime | None = None
    """When the room last named the egress among its participants, or first said that it is being recorded."""
    absent_since: datetime | None = None
    """Since when the room has denied the egress, without an answer of its handler."""
    handler_silent_since: datetime | None = None
    """When nobody first answered for the handler of an egress that its room denies."""
    handler_answered_at: datetime | None = None
    """When the handler of an egress that its room denies last answered."""
    refreshed_at: datetime | None = None
    due_at: datetime | None = None
    """When the sweep has to look at this row again; None: never."""
    take: int = 1
    """The number of the last Start attempt; never used again."""
    take_begun_by: BegunBy | Unknown = BegunBy.START
    take_requested_at: datetime | None = None
    """When the current take was asked for; None for the first, which is asked for with the recording."""
    take_started_at: datetime | None = None
    """When the current take's egress began to record; `started_at` is the recording's."""
    take_ended_at: datetime | None = None
    """When the current take ended, or its Start was refused; None while it runs or its Start is on its way."""
    take_segments: bool = False
    """The current take was started with safety segments."""
    on_worker_lost: OnWorkerLost | Unknown | None = None
    """None in rows of a release without takes, which end."""
    pause_requested_at: datetime | None = None
    parts_kept: bool = False
    """The parts of an assembled recording wait to be removed."""
    playback_key: str | None = None
    """32 random bytes in hexadecimal, with which tokens of its live playlist are made; None in rows of before."""
    attempts: int = 0
    """How often in a row the sweep has failed to do what this row needs."""
    version: int = 0
    """Counts the writes: compare-and-set compares it, and it numbers the events."""
    takes: tuple[Take, ...] = ()
    """The ended takes, oldest first; they are rows of a table of their own."""

    def __repr__(self) -> str:
        """Return all fields but those that open something: no key is to be in a log."""
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in _SECRET)
        return f"Recording({', '.join(shown)})"

    @property
    def live(self) -> bool:
        """Whether the recording holds its target."""
        return self.status not in FINAL

    @property
    def known(self) -> bool:
        """Whether this release knows each value; a recording with an unknown one is left to a later release."""
        values = (
            self.source,
            self.media,
            self.status,
            self.stop_reason,
            self.take_begun_by,
            self.on_worker_lost,
        )
        return not any(isinstance(each, Unknown) for each in values)

    @property
    def room(self) -> str | None:
        """The room that its recorder joins; None of a web page, whose `room_name` is a label."""
        return None if self.source is Source.WEB else self.room_name

    @property
    def has_picture(self) -> bool:
        """Whether there is anything to see in it."""
        return self.media is not Media.AUDIO

    @property
    def between_takes(self) -> bool:
        """Whether no egress records for it, nor is about to."""
        return self.take_ended_at is not None

    @property
    def thumbnails(self) -> int | None:
        """How many thumbnails all takes have left; None where none were asked for."""
        if self.thumbnail_seconds is None:
            return None
        return sum(each.thumbnail_count or 0 for each in self.takes) + (self.thumbnail_count or 0)

    @property
    def take_count(self) -> int:
        """How many takes have recorded."""
        current = not self.between_takes and self.take_started_at is not None
        return len(self.takes) + int(current)

    @property
    def refused(self) -> bool:
        """Whether LiveKit refused the Start: this is no recording to its user, only an answer that is remembered."""
        return self.egress_id is None and self.failure_code in REFUSALS

    @property
    def obsolete(self) -> bool:
        """Whether the row is needed no more: nothing was started, and no idempotency key asks for the answer."""
        return self.refused and self.idempotency_key is None

    @property
    def prefix(self) -> str:
        """The folder in the bucket that holds every object of this recording."""
        return object_prefix(self.id)

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder that may hold objects of this recording.

        A worker that is configured with a prefix writes into a folder of the same name behind that prefix.
        """
        own = (self.prefix, f"{SEGMENTS_PREFIX}{self.id}/")
        keys = [self.storage_key, *(take.storage_key for take in self.takes)]
        places = dict.fromkeys(
            before for key in keys if key is not None and (before := key.partition(self.prefix)[0]) != key
        )
        return (*own, *(place + each for place in places if place for each in own))

    def path_of(self, key: str) -> str:
        """Return the key of an object in one of the folders without the prefix that a worker has put before it."""
        for folder in self.folders[:2]:
            _, found, rest = key.partition(folder)
            if found:
                return found + rest
        return key

    @property
    def outside_key(self) -> str | None:
        """The key of the file where it lies in none of the folders: of a row taken over from another table."""
        key = self.storage_key
        return None if key is None or key.startswith(self.folders) else key

    @property
    def elsewhere(self) -> str | None:
        """Where the file lies that is in no bucket of this deployment; None where no such file is known."""
        return self.file_url if not self.live and self.storage_key is None else None

    @property
    def downloadable(self) -> bool:
        """Whether a file of this recording is known to be in the bucket."""
        return not self.live and self.storage_key is not None and self.file_size is not None

    def awaits_upload(self, now: datetime) -> bool:
        """Whether a file may still arrive in the folder."""
        return self.live or (self.late_upload_until is not None and self.late_upload_until > now)

    @property
    def reported_after_failure(self) -> bool:
        """Whether the egress was heard of after our own verdict; LiveKit may not list it."""
        return self.stop_reason is StopReason.STILL_RUNNING and self.late_upload_until is not None

    def may_come_back(self, now: datetime) -> frozenset[str]:
        """Return the egress of a final recording that we gave up: they may record although LiveKit lists none."""
        if self.live or not self.awaits_upload(now):
            return frozenset()
        # Of a take that is none of `takes` nobody has heard that it recorded.
        unheard = self.between_takes and all(take.egress_id != self.egress_id for take in self.takes)
        given_up = unheard or self.failure_code in OWN_VERDICTS
        last = {self.egress_id} if given_up else set[str | None]()
        lost = {take.egress_id for take in self.takes if take.given_up}
        return frozenset(egress_id for egress_id in last | lost if egress_id is not None)

    @property
    def mime_type(self) -> str | None:
        """The file's media type, where its extension tells."""
        return mime_type_of(self, self.storage_key or "")

    @property
    def file_name(self) -> str | None:
        """A name for the downloaded file: the room and when the recording was asked for."""
        return file_name_of(self, self.storage_key or "")

    @property
    def has_poster(self) -> bool:
        """Whether a picture of it was written while it recorded."""
        current = self.take_segments and self.take_started_at is not None
        return self.has_picture and (current or any(take.segments for take in self.takes))

    @property
    def segment_counts(self) -> Mapping[int, int | None]:
        """The takes that were recorded in segments, oldest first, with how many of these count where that is fixed."""
        ended = {take.take: take.segment_count for take in self.takes if take.segments}
        if self.take_segments and self.take_started_at is not None:
            ended.setdefault(self.take, None)
        return ended

    @property
    def parts(self) -> tuple[StoredPart, ...]:
        """The files of a final recording: one, or one for each take where these could not be joined."""
        if self.downloadable and self.storage_key is not None and self.file_size is not None:
            return (StoredPart(key=self.storage_key, size=self.file_size, duration=self.duration),)
        if self.live:
            return ()
        return tuple(
            StoredPart(key=take.storage_key, size=take.file_size, duration=take.duration, take=take.take)
            for take in self.takes
            if take.storage_key is not None and take.file_size is not None
        )

    def expired(self, now: datetime) -> bool:
        """Whether the retention is over."""
        return self.expires_at is not None and self.expires_at <= now


def mime_type_of(recording: Recording, key: str) -> str | None:
    """Return the media type of a file of a recording, where its extension tells."""
    return MIME_TYPES.get(_extension_of(recording, key) or "")


def file_name_of(recording: Recording, key: str, take: int | None = None) -> str | None:
    """Return a name for a downloaded file: the room and when the recording was asked for; None without an extension."""
    extension = _extension_of(recording, key)
    if extension is None:
        return None
    room = as_file_name(recording.room_name).encode()[:FILE_NAME_BYTES].decode(errors="ignore")
    # A date and a time as file systems take them; strftime would take three times as long.
    asked_at = recording.created_at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds")
    part = "" if take is None else f" part {take}"
    return f"{room} {asked_at.replace(':', '-')}{part}.{extension}"


def _extension_of(recording: Recording, key: str) -> str | None:
    _, dot, extension = key.rpartition("/")[2].rpartition(".")
    if not dot:
        return None
    # LiveKit calls every MP4 so, and would append that to another extension.
    sound_only = extension.lower() == "mp4" and not recording.has_picture
    return "m4a" if sound_only else extension.lower()


def as_file_name(text: str) -> str:
    """Return a text that is one file's name everywhere, and reads as it is: no folders, no marks of direction."""
    return re.sub(_NO_FILE_NAME, " ", text).replace("/", "-").replace("\\", "-")


def object_prefix(recording_id: UUID) -> str:
    """Return the folder that belongs to a recording."""
    return f"{PREFIX}{recording_id}/"


def next_version(before: Recording, after: Recording, now: datetime) -> Recording:
    """Return `after` as the next version of `before`, written at `now`."""
    status_at = now if before.status is not after.status else before.status_at
    return after._replace(updated_at=now, status_at=status_at, version=before.version + 1)
