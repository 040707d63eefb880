"""The kinds of recording: each knows the target that it holds and what of it is stored."""

import hashlib
from enum import StrEnum
from typing import Final, NamedTuple, TypedDict


class Source(StrEnum):
    """The kinds of recording, as they are stored."""

    ROOM_COMPOSITE = "room_composite"
    PARTICIPANT = "participant"
    TRACK_COMPOSITE = "track_composite"
    TRACK = "track"
    WEB = "web"


class Media(StrEnum):
    """The media of a recording, as it is stored."""

    AUDIO_VIDEO = "audio_video"
    AUDIO = "audio"
    VIDEO = "video"


_TARGET_BYTES: Final = 1024
"""A target has an index, and Postgres refuses an entry above some 2,700 bytes."""


class KindColumns(TypedDict, total=False):
    """The columns of a recording that hold its kind, beside its source and its room; it has none of other kinds."""

    layout: str
    media: Media
    resolution: str
    orientation: str
    framerate: int
    codec: str | None
    audio_codec: str
    audio_bitrate: int | None
    video_bitrate: int | None
    participant_identity: str
    screen_share: bool
    audio_track_sid: str | None
    video_track_sid: str | None
    track_sid: str
    page_url: str


class Encoding(NamedTuple):
    """How LiveKit encodes what it composes. A bitrate (kbit/s) of None is the default of the resolution."""

    resolution: str = "1080p"
    orientation: str = "landscape"
    framerate: int = 30
    """Frames a second."""
    codec: str = "h264"
    audio_codec: str = "aac"
    audio_bitrate: int | None = None
    video_bitrate: int | None = None

    def columns(self, media: Media) -> KindColumns:
        """Return the columns that hold it: nothing of the picture or the sound that a recording does not have."""
        found: KindColumns = {"media": media}
        if media is not Media.AUDIO:
            found |= {
                "resolution": self.resolution,
                "orientation": self.orientation,
                "framerate": self.framerate,
                "codec": self.codec,
                "video_bitrate": self.video_bitrate,
            }
        if media is not Media.VIDEO:
            found |= {"audio_codec": self.audio_codec, "audio_bitrate": self.audio_bitrate}
        return found


class RoomComposite(NamedTuple):
    """A room as a page with a layout shows it; without a picture, the sound of everybody in it."""

    room_name: str
    layout: str = "grid"
    media: Media = Media.AUDIO_VIDEO
    encoding: Encoding = Encoding()

    @property
    def source(self) -> Source:
        """The kind as a row and a caller name it."""
        return Source.ROOM_COMPOSITE

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return f"room:{self.room_name}"

    @property
    def columns(self) -> KindColumns:
        """The columns that hold it."""
        layout: KindColumns = {} if self.media is Media.AUDIO else {"layout": self.layout}
        return layout | self.encoding.columns(self.media)


class Participant(NamedTuple):
    """Camera and microphone of a participant, or with `screen_share` the screen that they share."""

    room_name: str
    identity: str
    screen_share: bool = False
    encoding: Encoding = Encoding()

    @property
    def source(self) -> Source:
        """The kind as a row and a caller name it."""
        return Source.PARTICIPANT

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        # Both names may hold any separator, so the length says where the first one ends.
        return _bounded("participant", f"{len(self.room_name)}:{self.room_name}/{self.identity}")

    @property
    def columns(self) -> KindColumns:
        """The columns that hold it."""
        return {
            "participant_identity": self.identity,
            "screen_share": self.screen_share,
            **self.encoding.columns(Media.AUDIO_VIDEO),
        }


class TrackComposite(NamedTuple):
    """An audio track and a video track of a room, or one of the two, encoded into one file."""

    room_name: str
    audio_track_sid: str | None = None
    video_track_sid: str | None = None
    encoding: Encoding = Encoding()

    @property
    def source(self) -> Source:
        """The kind as a row and a caller name it."""
        return Source.TRACK_COMPOSITE

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return f"tracks:{self.room_name}/{self.audio_track_sid or ''}+{self.video_track_sid or ''}"

    @property
    def columns(self) -> KindColumns:
        """The columns that hold it."""
        return {
            "audio_track_sid": self.audio_track_sid,
            "video_track_sid": self.video_track_sid,
            **self.encoding.columns(media_of_tracks(self.audio_track_sid, self.video_track_sid)),
        }


class Track(NamedTuple):
    """One track of a room as it was published, without encoding."""

    room_name: str
    track_sid: str
    codec: str | None = None
    """The video codec that the caller expects; LiveKit stores what was published."""

    @property
    def source(self) -> Source:
        """The kind as a row and a caller name it."""
        return Source.TRACK

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return f"track:{self.room_name}/{self.track_sid}"

    @property
    def columns(self) -> KindColumns:
        """The columns that hold it."""
        return {"track_sid": self.track_sid, "codec": self.codec}


class Web(NamedTuple):
    """A web page. It joins no room; `room_name` is a label."""

    page_url: str
    room_name: str
    media: Media = Media.AUDIO_VIDEO
    encoding: Encoding = Encoding()

    @property
    def source(self) -> Source:
        """The kind as a row and a caller name it."""
        return Source.WEB

    @property
    def target(self) -> str:
        """The key of the thing that may be recorded once at a time."""
        return _bounded("web", self.page_url)

    @property
    def columns(self) -> KindColumns:
        """The columns that hold it."""
        return {"page_url": self.page_url, **self.encoding.columns(self.media)}


type Kind = RoomComposite | Participant | TrackComposite | Track | Web
"""Every kind that LiveKit records."""


def media_of_tracks(audio_track_sid: str | None, video_track_sid: str | None) -> Media:
    """Return what a track composite of these tracks holds."""
    if video_track_sid is None:
        return Media.AUDIO
    return Media.VIDEO if audio_track_sid is None else Media.AUDIO_VIDEO


def _bounded(kind: str, name: str) -> str:
    # A digest is as good a key as the name.
    if len(name.encode()) > _TARGET_BYTES:
        return f"{kind}:sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    return f"{kind}:{name}"
