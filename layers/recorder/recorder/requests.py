"""The JSON of the HTTP contract that comes in, validated. Unknown fields are named, not swallowed."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from .untrusted import CONTROL_CHARACTERS, printable

MAXIMUM_DURATION_SECONDS: Final = 7 * 24 * 60 * 60
ROOM_NAME: Final = rf"^[^{CONTROL_CHARACTERS}]*[^{CONTROL_CHARACTERS} ][^{CONTROL_CHARACTERS}]*$"
"""What `_room_name` accepts, for the OpenAPI document."""


def _room_name(name: str) -> str:
    if not name.strip(" "):
        raise PydanticCustomError("room_name", "must not be blank")
    if not printable(name):
        raise PydanticCustomError("room_name", "must not contain control characters")
    return name


class StartRequest(BaseModel):
    """What to record, and how.

    Bitrates are kbit/s, durations seconds. A room composite is encoded; a track is stored as it was published,
    so layout, resolution, codecs and bitrates do not apply to it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, validate_by_name=True
    )

    room_name: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_room_name)]
    layout: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "grid"
    resolution: Literal["1080p", "720p", "480p"] = "1080p"
    codec: Literal["h264", "vp8"] = "h264"
    audio_codec: Literal["aac", "opus"] = "aac"
    audio_bitrate: Annotated[int, Field(ge=16, le=512)] | None = None
    video_bitrate: Annotated[int, Field(ge=100, le=20_000)] | None = None
    track_based: bool = False
    track_sid: Annotated[str, Field(pattern=r"^TR_[A-Za-z0-9]{1,64}$")] | None = None
    max_duration: Annotated[int, Field(ge=1, le=MAXIMUM_DURATION_SECONDS)] | None = None

    @model_validator(mode="after")
    def _track(self) -> Self:
        if self.track_based and self.track_sid is None:
            raise PydanticCustomError("trackSid", "is required when trackBased is true")
        if self.track_sid is not None and not self.track_based:
            raise PydanticCustomError("trackBased", "must be true when trackSid is given")
        return self
