"""The JSON of the HTTP contract that comes in, validated. Unknown fields are named, not swallowed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self
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
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from recorder.domain.outputs import OutputColumns
from recorder.domain.recording import DESCRIPTION
from recorder.domain.sources import (
    Encoding,
    Kind,
    Media,
    Participant,
    RoomComposite,
    Source,
    Track,
    TrackComposite,
    Web,
    media_of_tracks,
)
from recorder.errors import InvalidRequestError
from recorder.untrusted import CONTROL_CHARACTERS, PRINTABLE, json_value, printable

MAXIMUM_DURATION_SECONDS: Final = 7 * 24 * 60 * 60
LAYOUTS: Final = tuple(
    f"{layout}{theme}"
    for layout in ("grid", "speaker", "single-speaker")
    for theme in ("", "-light", "-dark")
)
"""The layouts of LiveKit's own page, which shows a grid for any other."""
_TRACK_SID: Final = r"^TR_[A-Za-z0-9]{1,64}$"
PAGE_URL: Final = r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?([/?#][!-\[\]-~]*)?$"
"""Addresses that every reader of URLs takes for the same origin: no user, no backslash, and an ASCII host."""
STREAM_URL: Final = r"^rtmps?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/([!-~]*/)?[!-.0-~]+$"
"""Addresses that LiveKit takes: `rtmp://host[:port]/app/key`; no user, who would be a second key."""
PROBLEMS: Final = "problems"
"""The type of the error of fields that do not go together, and the name of the (field, message) in its context."""
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
_REQUEST: Final = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
"""A function pays for the models that it validates: pydantic builds each at its first use."""
_PART_OF_A_REQUEST: Final = ConfigDict(**_REQUEST, alias_generator=to_camel, validate_by_name=True)

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

_PICTURE: Final = frozenset({"layout", "resolution", "orientation", "framerate", "codec", "video_bitrate"})
_SOUND: Final = frozenset({"audio_codec", "audio_bitrate"})
_ENCODED: Final = ((_PICTURE | _SOUND) - {"layout"}) | {"outputs"}
_OF_EVERY_KIND: Final = frozenset({"source", "track_based", "room_name", "max_duration", *DESCRIPTION})
_FIELDS: Final[Mapping[Source, frozenset[str]]] = MappingProxyType(
    {
        Source.ROOM_COMPOSITE: _ENCODED | {"layout", "media", "on_worker_lost"},
        Source.PARTICIPANT: _ENCODED | {"participant_identity", "screen_share", "on_worker_lost"},
        Source.TRACK_COMPOSITE: _ENCODED | {"audio_track_sid", "video_track_sid"},
        Source.TRACK: frozenset({"track_sid", "codec"}),
        Source.WEB: _ENCODED | {"page_url", "media"},
    }
)
"""The fields of each kind beside `_OF_EVERY_KIND`. A request that has another one is refused."""
_NAMING: Final[Mapping[Source, str]] = MappingProxyType(
    {Source.PARTICIPANT: "participant_identity", Source.TRACK: "track_sid", Source.WEB: "page_url"}
)
"""The field that names the source, where a kind needs one."""
_WITHOUT: Final[Mapping[Media, frozenset[str]]] = MappingProxyType(
    {Media.AUDIO_VIDEO: frozenset(), Media.AUDIO: _PICTURE, Media.VIDEO: _SOUND}
)
"""The fields that a recording does not have which holds only sound, or only a picture."""

type _Problems = tuple[tuple[str, str], ...]


def _raise(problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        text = "; ".join(f"{field}: {message}" for field, message in problems)
        raise PydanticCustomError(PROBLEMS, "{text}", {"text": text, PROBLEMS: tuple(problems)})


def _name(name: str) -> str:
    if not name.strip(" "):
        raise PydanticCustomError("name", "must not be blank")
    if not printable(name):
        raise PydanticCustomError("name", "must not contain control characters")
    return name


def _switched(value: object) -> object:
    """Return the options of an output that `true` and `false` switch on and off."""
    return {} if value is True else None if value is False else value


class HlsRequest(BaseModel):
    """HLS: segments of so many seconds and a playlist, in the bucket while it records."""

    model_config = _PART_OF_A_REQUEST

    segment_seconds: Annotated[int, Field(ge=2, le=30), _WHOLE] = 4


class ThumbnailsRequest(BaseModel):
    """JPEG images of the picture, in pixels; without a width and a height, as large as the picture."""

    model_config = _PART_OF_A_REQUEST

    every_seconds: Annotated[int, Field(ge=1, le=600), _WHOLE] = 10
    width: Annotated[int | None, Field(ge=16, le=4096), _WHOLE] = None
    height: Annotated[int | None, Field(ge=16, le=4096), _WHOLE] = None


class OutputsRequest(BaseModel):
    """The outputs of a recording; a file, or HLS, or both are needed."""

    model_config = ConfigDict(
        **_PART_OF_A_REQUEST,
        json_schema_extra={
            "anyOf": [
                {"properties": {"file": {"const": True}}},
                {"properties": {"hls": {"not": {"const": False}}}, "required": ["hls"]},
            ]
        },
    )

    file: Annotated[bool, Field(description="One file.")] = True
    hls: Annotated[
        HlsRequest | None,
        BeforeValidator(_switched, json_schema_input_type=bool | HlsRequest),
        Field(description="HLS that is kept; `true`: segments of 4 seconds. It has no Opus."),
    ] = None
    thumbnails: Annotated[
        ThumbnailsRequest | None,
        BeforeValidator(_switched, json_schema_input_type=bool | ThumbnailsRequest),
        Field(description="Images that are kept; `true`: one every 10 seconds. Sound alone has none."),
    ] = None
    streams: Annotated[
        tuple[Annotated[str, Field(pattern=STREAM_URL, max_length=1024)], ...],
        Field(
            strict=False,
            max_length=4,
            description="RTMP addresses to stream to, whose keys are never shown. One that fails harms nothing else.",
            json_schema_extra={"uniqueItems": True},
        ),
    ] = ()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        problems: list[tuple[str, str]] = []
        if not self.file and self.hls is None:
            problems.append(("outputs", "must have a file, or hls, or both"))
        if len(set(self.streams)) < len(self.streams):
            problems.append(("outputs.streams", "must name each address once"))
        _raise(problems)
        return self

    @property
    def columns(self) -> OutputColumns:
        """The columns that hold them."""
        images = self.thumbnails
        return {
            "with_file": self.file,
            "hls_seconds": self.hls.segment_seconds if self.hls is not None else None,
            "thumbnail_seconds": images.every_seconds if images is not None else None,
            "thumbnail_width": images.width if images is not None else None,
            "thumbnail_height": images.height if images is not None else None,
            "stream_urls": self.streams,
        }


def _identity(identity: str | None) -> str | None:
    return None if identity is None else _name(identity)


def _add_kinds(schema: JsonDict) -> None:
    schema["anyOf"] = [*_schemas_of_kinds()]


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

    model_config = _REQUEST

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

    Bitrates are kbit/s, durations seconds. Each kind (`source`) has fields of its own; those that it does not have are
    refused. A track is stored as it was published: with `trackBased`, layout, resolution and the like are passed over.
    """

    model_config = ConfigDict(
        **_PART_OF_A_REQUEST,
        json_schema_extra=_add_kinds,
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
    source: Annotated[
        Source | None,
        Field(
            strict=False,
            description="What is recorded; `room_composite` unless given, or `track` with `trackBased`.",
        ),
    ] = None
    participant_identity: Annotated[
        str | None,
        Field(
            description="The participant whose camera and microphone are recorded.",
            json_schema_extra={"pattern": NAME},
            min_length=1,
            max_length=512,
        ),
        AfterValidator(_identity),
    ] = None
    screen_share: Annotated[
        bool, Field(description="Record the screen that the participant shares instead; it waits for one.")
    ] = False
    audio_track_sid: Annotated[
        str | None, Field(pattern=_TRACK_SID, description="LiveKit's id of the audio track.")
    ] = None
    video_track_sid: Annotated[
        str | None, Field(pattern=_TRACK_SID, description="LiveKit's id of the video track.")
    ] = None
    page_url: Annotated[
        str | None,
        Field(
            pattern=PAGE_URL,
            max_length=2048,
            description="The web page to record, of an origin that the deployment allows.",
        ),
    ] = None
    media: Annotated[
        Media,
        Field(
            strict=False,
            description="Sound and picture, or one of them. Sound alone becomes MP4 with AAC (`.m4a`) or, with `opus`,"
            " OGG. A track composite has what it names tracks of.",
        ),
    ] = Media.AUDIO_VIDEO
    layout: Annotated[
        str,
        Field(
            description="A layout of the recorded page. LiveKit's has `grid`, `speaker` and `single-speaker`, each"
            " also with `-light` or `-dark` at its end, and no other; a page of the deployment's own, any.",
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
        ),
    ] = "grid"
    resolution: Literal["1080p", "720p", "480p"] = "1080p"
    orientation: Annotated[
        Literal["landscape", "portrait"], Field(description="`portrait` swaps width and height.")
    ] = "landscape"
    framerate: Annotated[int, Field(ge=1, le=60, description="Frames a second."), _WHOLE] = 30
    codec: Annotated[
        Literal["h264", "vp8"], Field(description="Video codec; `vp8` for a track that was published so.")
    ] = "h264"
    audio_codec: Literal["aac", "opus"] = "aac"
    audio_bitrate: Annotated[
        int | None,
        Field(
            ge=16,
            le=512,
            description="kbit/s; 128 unless given. LiveKit's AAC encoder takes no notice of it: it writes some 120.",
        ),
        _WHOLE,
    ] = None
    video_bitrate: Annotated[
        int | None, Field(ge=100, le=20_000, description="kbit/s; 4500, 3000 or 1500 unless given."), _WHOLE
    ] = None
    track_based: Annotated[
        bool, Field(description="Record one track instead of the room: the same as the source `track`.")
    ] = False
    track_sid: Annotated[str | None, Field(pattern=_TRACK_SID, description="LiveKit's id of the track.")] = (
        None
    )
    outputs: Annotated[OutputsRequest, Field(description="What it is written to; a file unless given.")] = (
        OutputsRequest()
    )
    on_worker_lost: Annotated[
        Literal["continue", "end"],
        Field(
            description="What happens when the worker that records is lost while people are in the room: another one"
            " goes on, or the recording ends with what is there. Tracks and pages always end."
        ),
    ] = "continue"
    max_duration: Annotated[
        int | None,
        Field(ge=1, le=MAXIMUM_DURATION_SECONDS, description="Seconds after which it is stopped."),
        _WHOLE,
    ] = None

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        _raise((*self._of_other_kinds(), *self._missing()))
        return self

    @property
    def kind_source(self) -> Source:
        """The kind that is asked for, in either spelling."""
        return self.source or (Source.TRACK if self.track_based else Source.ROOM_COMPOSITE)

    @property
    def kind_media(self) -> Media:
        """The media that the recording is to hold."""
        if self.kind_source is Source.TRACK_COMPOSITE:
            return media_of_tracks(self.audio_track_sid, self.video_track_sid)
        return self.media

    def _of_other_kinds(self) -> _Problems:
        source, media = self.kind_source, self.kind_media
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        # A client of the original recipe may send everything that it knows.
        passed_over = _FIELDS_OF_1_0 if self.track_based and self.source is None else frozenset[str]()
        other = given - _OF_EVERY_KIND - _FIELDS[source] - passed_over
        without = (given - other) & _WITHOUT[media] if source is not Source.TRACK else frozenset[str]()
        problems = [
            ("trackBased", "must be true when trackSid is given")
            if name == "track_sid" and source is Source.ROOM_COMPOSITE
            else (to_camel(name), f"is not a field of the source {source}")
            for name in sorted(other)
        ]
        if source is not Source.TRACK and self.track_based:
            problems.append(("trackBased", f"is not true of the source {source}"))
        if source is Source.TRACK and not self.track_based and "track_based" in given:
            problems.append(("trackBased", "must be true of the source track"))
        problems += [
            (to_camel(name), f"is not a field of a recording of {media}") for name in sorted(without)
        ]
        if media is Media.AUDIO and self.outputs.thumbnails is not None:
            problems.append(("outputs.thumbnails", f"are not possible of a recording of {media}"))
        return tuple(problems)

    def _missing(self) -> _Problems:
        source = self.kind_source
        naming = _NAMING.get(source)
        if naming is not None and getattr(self, naming) is None:
            when = "trackBased is true" if self.track_based else f"source is {source}"
            return ((to_camel(naming), f"is required when {when}"),)
        if source is Source.TRACK_COMPOSITE and self.audio_track_sid is None and self.video_track_sid is None:
            return (("audioTrackSid", "or videoTrackSid is required when source is track_composite"),)
        return ()

    @property
    def kind(self) -> Kind:
        """The kind of recording, with its target."""
        room_name, encoding, media = self.room_name, self._encoding, self.media
        match self.kind_source:
            case Source.ROOM_COMPOSITE:
                return RoomComposite(room_name=room_name, layout=self.layout, media=media, encoding=encoding)
            case Source.PARTICIPANT:
                return Participant(
                    room_name=room_name,
                    identity=self.participant_identity or "",
                    screen_share=self.screen_share,
                    encoding=encoding,
                )
            case Source.TRACK_COMPOSITE:
                return TrackComposite(
                    room_name=room_name,
                    audio_track_sid=self.audio_track_sid,
                    video_track_sid=self.video_track_sid,
                    encoding=encoding,
                )
            case Source.TRACK:
                # A track keeps its own codec: only what the caller said of it is known.
                expected = self.codec if "codec" in self.model_fields_set else None
                return Track(room_name=room_name, track_sid=self.track_sid or "", codec=expected)
            case Source.WEB:
                return Web(page_url=self.page_url or "", room_name=room_name, media=media, encoding=encoding)

    @property
    def _encoding(self) -> Encoding:
        return Encoding(
            resolution=self.resolution,
            orientation=self.orientation,
            framerate=self.framerate,
            codec=self.codec,
            audio_codec=self.audio_codec,
            audio_bitrate=self.audio_bitrate,
            video_bitrate=self.video_bitrate,
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


# The rules on fields together, for the OpenAPI document: a schema for each kind and what it may hold.


def _schemas_of_kinds() -> Iterator[JsonDict]:
    for source in (Source.ROOM_COMPOSITE, Source.WEB):
        for media in Media:
            yield _schema_of_kind(source, media, {"media": {"const": media}})
    yield _schema_of_kind(Source.PARTICIPANT, Media.AUDIO_VIDEO, {})
    tracks: dict[Media, tuple[str, ...]] = {
        Media.AUDIO_VIDEO: ("audioTrackSid", "videoTrackSid"),
        Media.AUDIO: ("audioTrackSid",),
        Media.VIDEO: ("videoTrackSid",),
    }
    for media, named in tracks.items():
        own: JsonDict = {name: {"type": "string"} for name in named}
        others: JsonDict = {name: {"type": "null"} for name in tracks[Media.AUDIO_VIDEO] if name not in named}
        yield _schema_of_kind(Source.TRACK_COMPOSITE, media, {**others, **own}, *named)
    yield _schema_of_kind(Source.TRACK, Media.AUDIO_VIDEO, {"trackBased": {"const": True}})
    yield _schema_of_kind(
        Source.TRACK,
        Media.AUDIO_VIDEO,
        {"trackBased": {"const": True}, "source": {"type": "null"}},
        "trackBased",
    )


def _schema_of_kind(source: Source, media: Media, own: JsonDict, *required: str) -> JsonDict:
    spelled_old = "trackBased" in required
    allowed = (_FIELDS[source] | (_FIELDS_OF_1_0 if spelled_old else frozenset())) - _WITHOUT[media]
    properties: JsonDict = {
        to_camel(name): {"type": "null"} if _may_be_null(name) else {"not": {}}
        for name in sorted(set(StartRequest.model_fields) - _OF_EVERY_KIND - allowed)
    }
    if source is Source.ROOM_COMPOSITE:
        properties["source"] = {"enum": [source, None]}
    else:
        properties["source"] = {"const": source}
        required = required if spelled_old else (*required, "source")
    if source is not Source.TRACK:
        properties["trackBased"] = {"const": False}
    if media is Media.AUDIO:
        properties["outputs"] = {"properties": {"thumbnails": {"const": False}}}
    if "codec" in allowed and source is not Source.TRACK:
        properties["codec"] = {"const": "h264"}
    naming = _NAMING.get(source)
    if naming is not None:
        properties[to_camel(naming)] = {"type": "string"}
        required = (*required, to_camel(naming))
    title = f"{source.replace('_', ' ').capitalize()} ({media.replace('_', ' and ')})"
    return {
        "title": "Track" if source is Source.TRACK else title,
        "properties": {**properties, **own},
        "required": [*required],
    }


def _may_be_null(name: str) -> bool:
    return StartRequest.model_fields[name].default is None


type Action = Literal["stop", "pause", "resume"]


class ActionRequest(BaseModel):
    """An action on a recording."""

    model_config = _REQUEST

    action: Action = "stop"


class DescribeRequest(Description):
    """A change of a recording's description: a field that is not named stays as it is."""

    @property
    def given(self) -> Mapping[str, object]:
        """The values of the fields that the caller named."""
        return self.model_dump(exclude_unset=True)


class DeleteRequest(BaseModel):
    """Recordings that are to be deleted."""

    model_config = _REQUEST

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

    model_config = _PART_OF_A_REQUEST

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
        raise InvalidRequestError(*_details(error)) from None


def _details(error: ValidationError) -> Iterator[tuple[str, str]]:
    for each in error.errors(include_url=False, include_input=False):
        if each["type"] == PROBLEMS:
            yield from each["ctx"][PROBLEMS]
        else:
            # A name deeper than the options of an output may be the caller's own text.
            names = each["loc"] if each["loc"][:1] == ("outputs",) else each["loc"][:1]
            unknown = each["type"] == "extra_forbidden"
            message = "is not a field of this request" if unknown else each["msg"]
            yield ".".join(map(str, names)) or "body", message


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
