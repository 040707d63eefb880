"""The kinds of recording: each knows the target that it holds and what of it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, TypedDict

if TYPE_CHECKING:
    from recorder.domain.recording import Recording


class Source(StrEnum):
    """The kinds of recording, as they are stored."""

    ROOM_COMPOSITE = "room_composite"
    PARTICIPANT = "participant"
    TRACK_COMPOSITE = "track_composite"
    TRACK = "track"
    WEB = "web"


class EncodingColumns(TypedDict):
    """The columns of a recording that hold its encoding."""

    resolution: str
    codec: str
    audio_codec: str
    audio_bitrate: int | None
    video_bitrate: int | None


class RoomCompositeColumns(EncodingColumns):
    """The columns of a recording that hold a room composite."""

    layout: str


class TrackColumns(TypedDict):
    """The columns of a recording that hold a track."""

    track_sid: str
    codec: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How LiveKit encodes what it composes. A bitrate (kbit/s) of None is the default of the resolution."""

    resolution: str = "1080p"
    codec: str = "h264"
    audio_codec: str = "aac"
    audio_bitrate: int | None = None
    video_bitrate: int | None = None

    @property
    def columns(self) -> EncodingColumns:
        """The columns that hold it."""
        return {
            "resolution": self.resolution,
            "codec": self.codec,
            "audio_codec": self.audio_codec,
            "audio_bitrate": self.audio_bitrate,
            "video_bitrate": self.video_bitrate,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomComposite:
    """A room as a page with a layout shows it."""

    source: ClassVar[Source] = Source.ROOM_COMPOSITE

    room_name: str
    layout: str = "grid"
    encoding: Encoding = Encoding()

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return f"room:{self.room_name}"

    @property
    def columns(self) -> RoomCompositeColumns:
        """The columns that hold it, beside its room."""
        return {"layout": self.layout, **self.encoding.columns}


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Camera and microphone of a participant, or with `screen_share` the screen that they share."""

    source: ClassVar[Source] = Source.PARTICIPANT

    room_name: str
    identity: str
    screen_share: bool = False
    encoding: Encoding = Encoding()

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        # Both names may hold any separator, so the length says where the first one ends.
        return f"participant:{len(self.room_name)}:{self.room_name}/{self.identity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackComposite:
    """An audio track and a video track of a room, or one of the two, encoded into one file."""

    source: ClassVar[Source] = Source.TRACK_COMPOSITE

    room_name: str
    audio_track_sid: str | None = None
    video_track_sid: str | None = None
    encoding: Encoding = Encoding()

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return f"tracks:{self.room_name}/{self.audio_track_sid or ''}+{self.video_track_sid or ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One track of a room as it was published, without encoding."""

    source: ClassVar[Source] = Source.TRACK

    room_name: str
    track_sid: str
    codec: str | None = None
    """The video codec that the caller expects; LiveKit stores what was published."""

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return f"track:{self.room_name}/{self.track_sid}"

    @property
    def columns(self) -> TrackColumns:
        """The columns that hold it, beside its room."""
        return {"track_sid": self.track_sid, "codec": self.codec}


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """A web page. It joins no room; `room_name` is a label."""

    source: ClassVar[Source] = Source.WEB

    page_url: str
    room_name: str
    encoding: Encoding = Encoding()

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return f"web:{self.page_url}"


type Kind = RoomComposite | Participant | TrackComposite | Track | Web
"""Every kind that LiveKit records."""


def kind_of(recording: Recording) -> Kind:
    """Return the kind of a recording from what is stored of it."""
    room_name = recording.room_name
    match recording.source:
        case Source.TRACK:
            return Track(room_name=room_name, track_sid=recording.track_sid or "", codec=recording.codec)
        case _:
            return RoomComposite(
                room_name=room_name, layout=recording.layout or "grid", encoding=encoding_of(recording)
            )


def encoding_of(recording: Recording) -> Encoding:
    """Return how a recording is encoded."""
    return Encoding(
        resolution=recording.resolution or "1080p",
        codec=recording.codec or "h264",
        audio_codec=recording.audio_codec or "aac",
        audio_bitrate=recording.audio_bitrate,
        video_bitrate=recording.video_bitrate,
    )


type Offered = RoomComposite | Track
"""The kinds that users may ask for: what is stored of them has columns."""
