"""The JSON of the HTTP contract that comes in, validated. Unknown fields are named, not swallowed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from recorder.domain.recording import DESCRIPTION
from recorder.domain.sources import Encoding, RoomComposite, Track
from recorder.errors import InvalidRequestError
from recorder.untrusted import CONTROL_CHARACTERS, PRINTABLE, json_value, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.config import JsonDict

    from recorder.domain.sources import Offered

MAXIMUM_DURATION_SECONDS: Final = 7 * 24 * 60 * 60
LAYOUTS: Final = tuple(
    f"{layout}{theme}"
    for layout in ("grid", "speaker", "single-speaker")
    for theme in ("", "-light", "-dark")
)
"""Those of LiveKit's own page, which shows a grid for any other."""
NAME: Final = rf"^[^{CONTROL_CHARACTERS}]*[^{CONTROL_CHARACTERS} ][^{CONTROL_CHARACTERS}]*$"
"""The names that `_name` accepts, for the OpenAPI document."""
DESCRIPTION_LENGTH: Final = 200
MAXIMUM_DELETED: Final = 100
METADATA_PAIRS: Final = 16
METADATA_KEY_LENGTH: Final = 64
METADATA_VALUE_LENGTH: Final = 512
METADATA_BYTES: Final = 2048


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


def _name(name: str) -> str:
    if not name.strip(" "):
        raise PydanticCustomError("name", "must not be blank")
    if not printable(name):
        raise PydanticCustomError("name", "must not contain control characters")
    return name


def _metadata(pairs: dict[str, str]) -> dict[str, str]:
    texts = [*pairs, *pairs.values()]
    if not all(map(printable, texts)):
        raise PydanticCustomError("metadata", "must not contain control characters")
    if any(not 0 < len(key) <= METADATA_KEY_LENGTH for key in pairs):
        raise PydanticCustomError("metadata", f"must have keys of 1 to {METADATA_KEY_LENGTH} characters")
    if any(len(value) > METADATA_VALUE_LENGTH for value in pairs.values()):
        raise PydanticCustomError(
            "metadata", f"must have values of at most {METADATA_VALUE_LENGTH} characters"
        )
    if sum(len(text.encode()) for text in texts) > METADATA_BYTES:
        raise PydanticCustomError(
            "metadata", f"must be at most {METADATA_BYTES} bytes, keys and values together"
        )
    return pairs


_Words = Annotated[
    str,
    Field(json_schema_extra={"pattern": NAME}, min_length=1, max_length=DESCRIPTION_LENGTH),
    AfterValidator(_name),
]


class Description(BaseModel):
    """The owner's words about a recording: null clears one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: Annotated[_Words | None, Field(description="A title for people.")] = None
    reference: Annotated[
        _Words | None, Field(description="The caller's own id of it, by which lists can be filtered.")
    ] = None
    metadata: Annotated[
        Annotated[
            dict[str, str],
            Field(
                json_schema_extra={
                    "additionalProperties": {
                        "type": "string",
                        "pattern": PRINTABLE,
                        "maxLength": METADATA_VALUE_LENGTH,
                    },
                    "propertyNames": {
                        "pattern": PRINTABLE,
                        "minLength": 1,
                        "maxLength": METADATA_KEY_LENGTH,
                    },
                },
                max_length=METADATA_PAIRS,
            ),
            AfterValidator(_metadata),
        ]
        | None,
        Field(
            description=f"The caller's own pairs: keys and values have at most {METADATA_BYTES} bytes together."
        ),
    ] = None


class StartRequest(Description):
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
            json_schema_extra={"pattern": NAME},
            min_length=1,
            max_length=512,
        ),
        AfterValidator(_name),
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


type Action = Literal["stop", "pause", "resume"]


class ActionRequest(BaseModel):
    """What to do with a recording."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    action: Action = "stop"


class DescribeRequest(Description):
    """What to change in the description of a recording: what is not named stays as it is."""

    @property
    def given(self) -> Mapping[str, object]:
        """The values of the fields that the caller named."""
        return self.model_dump(exclude_unset=True)


class DeleteRequest(BaseModel):
    """Recordings that are to be deleted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    ids: Annotated[
        list[Annotated[UUID, Strict(False)]],
        Field(
            min_length=1,
            max_length=MAXIMUM_DELETED,
            description="Ids of recordings; one that comes twice is one.",
        ),
    ]


class LinkRequest(BaseModel):
    """A link by which somebody without an account may watch a recording."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, validate_by_name=True
    )

    expires_in: Annotated[
        int,
        Field(ge=60, le=90 * 24 * 60 * 60, description="Seconds for which it is good; a week unless given."),
        _WHOLE,
    ] = 7 * 24 * 60 * 60
    may_download: Annotated[bool, Field(description="Whether it gives the file for saving too.")] = False


type PatchRequest = ActionRequest | DescribeRequest
"""The body of PATCH."""


def parse_patch(body: bytes) -> PatchRequest:
    """Return what the body of PATCH says: an action, or a new description. Raises InvalidRequestError."""
    value = _json(body)
    named = value.keys() if isinstance(value, dict) else set[str]()
    words = [name for name in DESCRIPTION if name in named]
    if words and "action" in named:
        raise InvalidRequestError(*((name, "cannot be changed together with an action") for name in words))
    return _validated(DescribeRequest, value) if words else _validated(ActionRequest, value)


def parse[Model: BaseModel](model: type[Model], body: bytes) -> Model:
    """Return what a body says. Raises InvalidRequestError naming each field that is wrong."""
    return _validated(model, _json(body))


def _json(body: bytes) -> object:
    try:
        # pydantic's own reader of JSON would pass over a field's Python name instead of naming it.
        return json_value(body)
    except ValueError:
        raise InvalidRequestError(("body", "is not JSON")) from None


def _validated[Model: BaseModel](model: type[Model], value: object) -> Model:
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidRequestError(
            *(_detail(each["type"], each["loc"], each["msg"]) for each in problems)
        ) from None


def _detail(kind: str, location: tuple[int | str, ...], message: str) -> tuple[str, str]:
    # Rules about several fields carry the name of the one to change as their type.
    field = str(location[0]) if location else kind if kind in {"trackSid", "trackBased"} else "body"
    return field, "is not a field of this request" if kind == "extra_forbidden" else message


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
