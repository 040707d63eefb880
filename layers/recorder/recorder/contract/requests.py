"""The JSON of the HTTP contract that comes in, validated. Unknown fields are named, not swallowed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from recorder.domain.sources import Encoding, RoomComposite, Track
from recorder.untrusted import CONTROL_CHARACTERS, printable

if TYPE_CHECKING:
    from pydantic.config import JsonDict

    from recorder.domain.sources import Offered

MAXIMUM_DURATION_SECONDS: Final = 7 * 24 * 60 * 60
LAYOUTS: Final = tuple(
    f"{layout}{theme}"
    for layout in ("grid", "speaker", "single-speaker")
    for theme in ("", "-light", "-dark")
)
"""Those of LiveKit's own page, which shows a grid for any other."""
ROOM_NAME: Final = rf"^[^{CONTROL_CHARACTERS}]*[^{CONTROL_CHARACTERS} ][^{CONTROL_CHARACTERS}]*$"
"""The names that `_room_name` accepts, for the OpenAPI document."""


def _whole(value: object) -> object:
    # JSON knows one kind of number: 60.0 is as whole as 60.
    return int(value) if isinstance(value, float) and value.is_integer() else value


_WHOLE: Final = BeforeValidator(_whole)

_FIELDS_OF_1_0: Final = frozenset(
    {
        "room_name",
        "layout",
        "resolution",
        "codec",
        "audio_codec",
        "audio_bitrate",
        "video_bitrate",
        "track_based",
        "track_sid",
        "max_duration",
    }
)
"""The fields that a start request had in release 1.0, whose fingerprints are of all of them."""

# The demands of the validator below and of the service on fields together, for the OpenAPI document.
_KINDS: Final[tuple[JsonDict, ...]] = (
    {
        "title": "Room composite",
        "properties": {
            "codec": {"const": "h264"},
            "trackBased": {"const": False},
            "trackSid": {"type": "null"},
        },
    },
    {
        "title": "Track",
        "properties": {"trackBased": {"const": True}, "trackSid": {"type": "string"}},
        "required": ["trackBased", "trackSid"],
    },
)


def _room_name(name: str) -> str:
    if not name.strip(" "):
        raise PydanticCustomError("room_name", "must not be blank")
    if not printable(name):
        raise PydanticCustomError("room_name", "must not contain control characters")
    return name


class StartRequest(BaseModel):
    """A recording that is asked for.

    Bitrates are kbit/s, durations seconds. A room composite is encoded; a track is stored as it was published,
    so layout, resolution, codecs and bitrates do not apply to it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        json_schema_extra={"anyOf": [*_KINDS]},
        strict=True,
        validate_by_name=True,
    )

    room_name: Annotated[
        str,
        Field(
            description="The room to record; someone must be in it.",
            json_schema_extra={"pattern": ROOM_NAME},
            min_length=1,
            max_length=512,
        ),
        AfterValidator(_room_name),
    ]
    layout: Annotated[
        str,
        Field(
            description="A layout of the recorded page. LiveKit's has `grid`, `speaker` and `single-speaker`, each"
            " also with `-light` or `-dark` at its end, and no other; a page of the deployment's own, any.",
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
        ),
    ] = "grid"
    resolution: Literal["1080p", "720p", "480p"] = "1080p"
    codec: Annotated[
        Literal["h264", "vp8"], Field(description="Video codec; `vp8` for a track that was published so.")
    ] = "h264"
    audio_codec: Literal["aac", "opus"] = "aac"
    audio_bitrate: Annotated[
        int | None, Field(ge=16, le=512, description="kbit/s; 128 unless given."), _WHOLE
    ] = None
    video_bitrate: Annotated[
        int | None, Field(ge=100, le=20_000, description="kbit/s; 4500, 3000 or 1500 unless given."), _WHOLE
    ] = None
    track_based: Annotated[bool, Field(description="Record one track instead of the room.")] = False
    track_sid: Annotated[
        str | None, Field(pattern=r"^TR_[A-Za-z0-9]{1,64}$", description="LiveKit's id of the track.")
    ] = None
    on_worker_lost: Annotated[
        Literal["continue", "end"],
        Field(
            description="What happens when the worker that records is lost while people are in the room: another one"
            " goes on, or the recording ends with what is there. A track always ends."
        ),
    ] = "continue"
    max_duration: Annotated[
        int | None,
        Field(ge=1, le=MAXIMUM_DURATION_SECONDS, description="Seconds after which it is stopped."),
        _WHOLE,
    ] = None

    @model_validator(mode="after")
    def _track(self) -> Self:
        if self.track_based and self.track_sid is None:
            raise PydanticCustomError("trackSid", "is required when trackBased is true")
        if self.track_sid is not None and not self.track_based:
            raise PydanticCustomError("trackBased", "must be true when trackSid is given")
        return self

    @property
    def kind(self) -> Offered:
        """The kind of recording, with its target."""
        if self.track_sid is not None:
            # A track keeps its own codec: only what the caller said of it is known.
            expected = self.codec if "codec" in self.model_fields_set else None
            return Track(room_name=self.room_name, track_sid=self.track_sid, codec=expected)
        return RoomComposite(
            room_name=self.room_name,
            layout=self.layout,
            encoding=Encoding(
                resolution=self.resolution,
                codec=self.codec,
                audio_codec=self.audio_codec,
                audio_bitrate=self.audio_bitrate,
                video_bitrate=self.video_bitrate,
            ),
        )

    @property
    def fingerprint(self) -> str:
        """A digest that tells this request from another one under the same idempotency key.

        It is made of the fields that the caller gave, so that it stays the same in releases with more of them.
        """
        given = self.model_dump(mode="json", exclude_unset=True)
        return _digest(json.dumps(given, sort_keys=True, separators=(",", ":")))

    @property
    def fingerprint_of_1_0(self) -> str | None:
        """The fingerprint that release 1.0 stored for this request; None where that had no such request."""
        if not self.model_fields_set <= _FIELDS_OF_1_0:
            return None
        return _digest(self.model_dump_json(include=set(_FIELDS_OF_1_0)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
