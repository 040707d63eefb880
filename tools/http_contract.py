"""Parameters, answers and errors of each route, for the OpenAPI document.

Limits, models and errors are those of the request path; examples are answers of the functions that answer requests.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Final, Literal, NamedTuple, TypedDict
from uuid import UUID

from aws_lambda_powertools.event_handler.openapi import params
from aws_lambda_powertools.event_handler.openapi.models import Example
from pydantic import BaseModel, ConfigDict, Field

from recorder import errors
from recorder.api.endpoint import MAXIMUM_KEY_LENGTH, code_of
from recorder.api.paging import CURSOR, DEFAULT_LIMIT, MAXIMUM_LIMIT, cursor_after
from recorder.contract import answers, schemas
from recorder.contract.requests import DeleteRequest, LinkRequest, PatchRequest, StartRequest
from recorder.domain.recording import Recording, Status
from recorder.domain.shares import Shared, ShareLink
from recorder.domain.sources import Source
from recorder.untrusted import PRINTABLE
from recorder.usecases.playback import LINK_SECONDS
from recorder.usecases.ports import Page
from recorder.usecases.sharing import MAXIMUM_LINKS
from recorder.usecases.waiting import MAXIMUM_WAIT_SECONDS, WAITS_PER_USER


class EgressInfo(TypedDict, total=False):
    """LiveKit's EgressInfo, of whose fields these are always there; null is protobuf's way to omit one."""

    egressId: str | None
    roomName: str | None


class SharedRequest(BaseModel):
    """A link's token."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(description="What stands behind the `#` of the link.")


class WebhookEvent(TypedDict, total=False):
    """One of LiveKit's events; those that tell of no egress change nothing."""

    event: object
    egressInfo: EgressInfo | None


class Input(NamedTuple):
    """A parameter or a body, as a function's signature has it; without a default it must be given."""

    annotation: object
    default: object = inspect.Parameter.empty


@dataclass(frozen=True)
class Success:
    """An answer that says that what was asked is done."""

    description: str
    model: object
    example: object
    located: bool = False
    """Whether it says where the recording is."""
    media_type: str = "application/json"
    waited: bool = False
    """Whether it may say that the caller's wish to wait was granted."""


@dataclass(frozen=True)
class Operation:
    """A route, the function that serves it, what it takes, how it answers and what it refuses with."""

    function: str
    method: str
    path: str
    takes: Mapping[str, Input]
    succeeds: Mapping[HTTPStatus, Success]
    refuses: Sequence[errors.RecorderError]

    @property
    def for_users(self) -> bool:
        """Whether the caller is a user, and not LiveKit or somebody with a link."""
        return not self.for_livekit and not self.for_anybody

    @property
    def for_livekit(self) -> bool:
        """Whether the caller is LiveKit."""
        return self.path.startswith("/api/video/livekit/")

    @property
    def for_anybody(self) -> bool:
        """Whether the caller needs nothing but a link, or the address of a live playlist."""
        return self.path == "/api/video/shared" or self.path.startswith("/api/video/play/")


# The subject of the examples.

_BEGAN: Final = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
_ENDED: Final = _BEGAN + timedelta(minutes=30)
_STOPPING: Final = Recording(
    id=UUID("0b2f6f4e-6a57-4d0f-9d1b-6d5c6d1f3a10"),
    user_id="alice",
    room_name="demo",
    source=Source.ROOM_COMPOSITE,
    status=Status.STOPPING,
    created_at=_BEGAN - timedelta(seconds=4),
    updated_at=_BEGAN,
    status_at=_BEGAN,
    layout="grid",
    resolution="1080p",
    codec="h264",
    audio_codec="aac",
    room_sid="RM_q6Zk4rXDFxSr",
    egress_id="EG_8pWyGJ3nqLxv",
    started_at=_BEGAN,
    max_duration=7200,
)
_COMPLETED: Final = _STOPPING._replace(
    status=Status.COMPLETED,
    updated_at=_ENDED,
    stopped_at=_ENDED,
    storage_key=f"{_STOPPING.prefix}recording.mp4",
    file_url=f"https://bucket.s3.eu-central-1.amazonaws.com/{_STOPPING.prefix}recording.mp4",
    file_size=482_113_024,
    duration=1800.0,
    end_reason="stopped",
)
_LINK: Final = ShareLink(
    id=UUID("3d1f0a52-7c1e-4b8a-9f0e-5c2b7a9d4e61"),
    recording_id=_COMPLETED.id,
    expires_at=_ENDED + timedelta(days=7),
    may_download=False,
)
_SHARED_URL: Final = "https://api.example.com/console/shared#kV0hI0zqQm9cC3mXn1v2tX7gq0Zr4uYp8sWb5eJd6Lk"
_PLAYBACK: Final = f"{_COMPLETED.file_url}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires={LINK_SECONDS}"
_DETAIL: Final = {
    "recording": answers.recording_json(_COMPLETED),
    "links": [answers.link_json(_LINK)],
    "playbackUrl": _PLAYBACK,
    "downloadUrl": _PLAYBACK,
    "downloadUrlExpiresAt": answers.time_json(_ENDED + timedelta(seconds=LINK_SECONDS)),
    "posterUrl": None,
    "files": [],
    "takes": answers.takes_json(_COMPLETED),
}
_PLAYLIST: Final = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:3
#EXT-X-MEDIA-SEQUENCE:120
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-SERVER-CONTROL:HOLD-BACK=9.0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T09:34:00.876+00:00
#EXTINF:2.000,
https://bucket.s3.eu-central-1.amazonaws.com/segments/0b2f6f4e-6a57-4d0f-9d1b-6d5c6d1f3a10/2/segment_00007.ts
"""
_NEXT: Final = cursor_after(Page(user_id=_COMPLETED.user_id, limit=DEFAULT_LIMIT), _COMPLETED)
_LISTING: Final = {"recordings": [answers.recording_json(_COMPLETED)], "nextCursor": _NEXT}
_WEBHOOK: Final = {
    "event": "egress_updated",
    "egressInfo": {
        "egressId": _STOPPING.egress_id,
        "roomName": _STOPPING.room_name,
        "status": "EGRESS_ACTIVE",
    },
    "id": "EV_s9qF2vXJgtMw",
    "createdAt": str(int(_BEGAN.timestamp())),
}
RECORDING_PATH: Final = f"/api/video/recordings/{_STOPPING.id}"


# Parameters and bodies of the operations.


def _examples(**values: object) -> dict[str, Example]:
    return {name: Example(value=value) for name, value in values.items()}


def _optional(
    kind: object, field: params.Query | params.Header | params.Body, default: object = None
) -> Input:
    # A default of None says nothing in a schema, and the type stays without null: a parameter is there or it is not.
    return Input(Annotated[kind, field], default)


_ID: Final = Input(
    Annotated[
        UUID, params.Path(description="The recording's id.", openapi_examples=_examples(id=str(_STOPPING.id)))
    ]
)
_PREFER: Final = _optional(
    str,
    params.Header(
        alias="Prefer",
        description=f"`wait=N` waits for the answer to change, N seconds, at most {MAXIMUM_WAIT_SECONDS} (RFC 7240)."
        f" Where {WAITS_PER_USER} requests of the user wait already, or too many of all users, the answer comes at once"
        " and has no `Preference-Applied`: ask again after some seconds.",
        openapi_examples=_examples(wait="wait=2"),
    ),
)
_START: Final = {
    "body": Input(
        Annotated[
            StartRequest,
            params.Body(
                openapi_examples=_examples(
                    room={"roomName": "demo"},
                    talk={"roomName": "demo", "layout": "speaker", "resolution": "720p", "maxDuration": 7200},
                    described={
                        "roomName": "demo",
                        "title": "Weekly",
                        "reference": "meeting-7",
                        "metadata": {"team": "north"},
                    },
                    track={
                        "roomName": "demo",
                        "trackBased": True,
                        "trackSid": "TR_VC4Bz7wTkVb3tq",
                        "codec": "vp8",
                    },
                )
            ),
        ]
    ),
    "idempotency_key": _optional(
        str,
        params.Header(
            alias="Idempotency-Key",
            description="The same key with the same body gets the first answer again, for 24 hours.",
            pattern=rf"^[ -~]{{1,{MAXIMUM_KEY_LENGTH}}}$",
            openapi_examples=_examples(uuid="5f3b1d0e-9a3c-4b5e-8f6a-2d7c1e4b9a80"),
        ),
    ),
}
_LIST: Final = {
    "roomName": _optional(
        str,
        params.Query(
            description="Only recordings of this room.",
            pattern=PRINTABLE,
            openapi_examples=_examples(room=_STOPPING.room_name),
        ),
    ),
    "status": _optional(
        Status,
        params.Query(
            description="Only recordings in this status.", openapi_examples=_examples(completed="completed")
        ),
    ),
    "source": _optional(
        Source,
        params.Query(
            description="Only recordings of this kind.", openapi_examples=_examples(track=Source.TRACK.value)
        ),
    ),
    "reference": _optional(
        str,
        params.Query(
            description="Only recordings with this `reference`.",
            pattern=PRINTABLE,
            openapi_examples=_examples(meeting="meeting-7"),
        ),
    ),
    "from_": _optional(
        datetime,
        params.Query(
            alias="from",
            description="Only recordings that were asked for at this time (RFC 3339) or later.",
            openapi_examples=_examples(day="2026-11-22T00:00:00Z"),
        ),
    ),
    "to": _optional(
        datetime,
        params.Query(
            description="Only recordings that were asked for before this time (RFC 3339).",
            openapi_examples=_examples(day="2026-11-23T00:00:00Z"),
        ),
    ),
    "order": _optional(
        Literal["asc", "desc"],
        params.Query(description="Newest first, or oldest first.", openapi_examples=_examples(oldest="asc")),
        "desc",
    ),
    "limit": _optional(
        int,
        params.Query(
            ge=1,
            le=MAXIMUM_LIMIT,
            description="The most recordings of a page.",
            openapi_examples=_examples(few=10),
        ),
        DEFAULT_LIMIT,
    ),
    "cursor": _optional(
        str,
        params.Query(
            description="The `nextCursor` of the page before.",
            pattern=CURSOR,
            openapi_examples=_examples(next=_NEXT),
        ),
    ),
}
_PATCH: Final = _optional(
    PatchRequest.__value__,
    params.Body(
        openapi_examples=_examples(
            stop={"action": "stop"},
            pause={"action": "pause"},
            describe={"title": "Weekly", "reference": "meeting-7", "metadata": {"team": "north"}},
            clear={"title": None},
        )
    ),
)
_DELETE: Final = Input(
    Annotated[DeleteRequest, params.Body(openapi_examples=_examples(some={"ids": [str(_STOPPING.id)]}))]
)
_LINK_ID: Final = Input(
    Annotated[UUID, params.Path(description="The link's id.", openapi_examples=_examples(id=str(_LINK.id)))]
)
_SHARE: Final = _optional(
    LinkRequest,
    params.Body(openapi_examples=_examples(week={}, hour={"expiresIn": 3600, "mayDownload": True})),
)
_SHARED: Final = Input(
    Annotated[
        SharedRequest, params.Body(openapi_examples=_examples(link={"token": _SHARED_URL.partition("#")[2]}))
    ]
)
_TOKEN: Final = _optional(
    str,
    params.Query(
        description="The token in `playbackUrl`: it opens this recording alone, and ends with it or with its link.",
        pattern=PRINTABLE,
        openapi_examples=_examples(token=f"6afe2f40..{'0' * 64}"),
    ),
)
_EVENT: Final = Input(
    Annotated[
        WebhookEvent,
        params.Body(media_type="application/webhook+json", openapi_examples=_examples(egress=_WEBHOOK)),
    ]
)

# Errors of the operations.

_OFTEN: Final = (errors.DatabaseUnavailableError("the database is not available"),)
_USERS: Final = (
    *_OFTEN,
    errors.UnauthorizedError("the token has no subject"),
    errors.ForbiddenError("the token lacks recordings:write"),
)
_USERS_OF_ONE: Final = (*_USERS, errors.RecordingNotFoundError(), errors.RecordingGoneError())
_WAITING: Final = (
    *_USERS_OF_ONE,
    errors.InvalidRequestError(("force", "is not a parameter of this call")),
)
_WEBHOOKS: Final = (
    *_OFTEN,
    errors.EgressNotAskedError("LiveKit's key cannot be read"),
    errors.InvalidRequestError(("body", "is not a LiveKit webhook")),
    errors.UnauthorizedError("the webhook's signature is not valid"),
)

OPERATIONS: Final = (
    Operation(
        "start_recording",
        "POST",
        "/api/video/recordings",
        takes=_START,
        succeeds={
            HTTPStatus.CREATED: Success(
                "The egress was started.",
                schemas.StartedJson,
                answers.started_json(_STOPPING.id, _STOPPING.egress_id),
                located=True,
            ),
            HTTPStatus.ACCEPTED: Success(
                "LiveKit's answer was lost; what became of the start shows within a minute or two.",
                schemas.StartedJson,
                answers.started_json(_STOPPING.id, None),
                located=True,
            ),
        },
        refuses=(
            *_USERS,
            errors.InvalidRequestError(("roomName", "Field required")),
            errors.RoomNotFoundError("requested room does not exist"),
            errors.RecordingInProgressError(_STOPPING.id),
            errors.IdempotencyMismatchError(),
            errors.UnsupportedCodecError("vp8 is not available for a composite: use h264, or record a track"),
            errors.EgressRefusedError("no supported codec is compatible with all outputs"),
            errors.EgressUnavailableError("no response from servers"),
        ),
    ),
    Operation(
        "list_recordings",
        "GET",
        "/api/video/recordings",
        takes=_LIST,
        succeeds={HTTPStatus.OK: Success("One page.", schemas.RecordingListJson, _LISTING)},
        refuses=(*_USERS, errors.InvalidRequestError(("limit", "must be a whole number from 1 to 100"))),
    ),
    Operation(
        "get_recording",
        "GET",
        "/api/video/recordings/{id}",
        takes={"id": _ID, "prefer": _PREFER},
        succeeds={
            HTTPStatus.OK: Success("The recording.", schemas.RecordingDetailJson, _DETAIL, waited=True)
        },
        refuses=(*_WAITING, errors.StorageUnavailableError("the storage is not available")),
    ),
    Operation(
        "stop_recording",
        "PATCH",
        "/api/video/recordings/{id}",
        takes={"id": _ID, "prefer": _PREFER, "body": _PATCH},
        succeeds={
            HTTPStatus.OK: Success(
                "The recording stops, pauses or resumes, or has done so, or has its new description.",
                schemas.StoppedJson,
                answers.stopped_json(_STOPPING),
                waited=True,
            )
        },
        refuses=(
            *_WAITING,
            errors.NotPossibleNowError("a recording can be resumed while it is paused; this one is active"),
            errors.RoomNotFoundError("requested room does not exist"),
            errors.EgressRefusedError("no supported codec is compatible with all outputs"),
            errors.EgressUnavailableError("no response from servers"),
        ),
    ),
    Operation(
        "delete_recording",
        "DELETE",
        "/api/video/recordings/{id}",
        takes={"id": _ID},
        succeeds={HTTPStatus.OK: Success("It is gone.", schemas.DeletedJson, {"success": True})},
        refuses=(
            *_USERS_OF_ONE,
            errors.InvalidRequestError(("force", "is not a parameter of this call")),
            errors.StorageUnavailableError("the storage is not available"),
        ),
    ),
    Operation(
        "delete_recordings",
        "POST",
        "/api/video/recordings/delete",
        takes={"body": _DELETE},
        succeeds={
            HTTPStatus.OK: Success(
                "Each of them is gone, or has its reason not to be.",
                schemas.DeletedManyJson,
                answers.deleted_many_json(
                    {_STOPPING.id: None, UUID(int=0): errors.RecordingNotFoundError()}, code_of
                ),
            )
        },
        refuses=(*_USERS, errors.InvalidRequestError(("ids", "List should have at least 1 item"))),
    ),
    Operation(
        "create_link",
        "POST",
        "/api/video/recordings/{id}/links",
        takes={"id": _ID, "body": _SHARE},
        succeeds={
            HTTPStatus.CREATED: Success(
                "The link can be passed on.",
                schemas.NewLinkJson,
                answers.new_link_json(_LINK, _SHARED_URL),
            )
        },
        refuses=(
            *_USERS_OF_ONE,
            errors.InvalidRequestError(("expiresIn", "Input should be greater than or equal to 60")),
            errors.TooManyLinksError(MAXIMUM_LINKS),
        ),
    ),
    Operation(
        "delete_link",
        "DELETE",
        "/api/video/recordings/{id}/links/{linkId}",
        takes={"id": _ID, "linkId": _LINK_ID},
        succeeds={
            HTTPStatus.OK: Success("It opens nothing any more.", schemas.SuccessJson, {"success": True})
        },
        refuses=(
            *_USERS_OF_ONE,
            errors.LinkNotFoundError(),
            errors.InvalidRequestError(("force", "is not a parameter of this call")),
        ),
    ),
    Operation(
        "open_link",
        "POST",
        "/api/video/shared",
        takes={"body": _SHARED},
        succeeds={
            HTTPStatus.OK: Success(
                "What the link shows.",
                schemas.SharedJson,
                answers.shared_json(
                    Shared(
                        recording=_COMPLETED,
                        expires_at=_LINK.expires_at,
                        may_download=False,
                        playback_url=_PLAYBACK,
                        download_url=None,
                        poster_url=None,
                    )
                ),
            )
        },
        refuses=(
            *_OFTEN,
            errors.InvalidRequestError(("token", "must be a text")),
            errors.LinkNotFoundError(),
            errors.StorageUnavailableError("the storage is not available"),
        ),
    ),
    Operation(
        "play_recording",
        "GET",
        "/api/video/play/{id}/live.m3u8",
        takes={"id": _ID, "token": _TOKEN},
        succeeds={
            HTTPStatus.OK: Success(
                "The playlist. Ask again after its target duration, until it has an end.",
                str,
                _PLAYLIST,
                media_type="application/vnd.apple.mpegurl",
            )
        },
        refuses=(
            *_OFTEN,
            errors.InvalidRequestError(("force", "is not a parameter of this call")),
            errors.RecordingNotFoundError(),
            errors.StorageUnavailableError("the storage is not available"),
        ),
    ),
    Operation(
        "receive_livekit_webhook",
        "POST",
        "/api/video/livekit/webhook",
        takes={"body": _EVENT},
        succeeds={HTTPStatus.OK: Success("It is taken in.", schemas.SuccessJson, {"success": True})},
        refuses=_WEBHOOKS,
    ),
    Operation(
        "receive_livekit_webhook",
        "POST",
        "/api/video/livekit/webhook/{id}",
        takes={"id": _ID, "body": _EVENT},
        succeeds={HTTPStatus.OK: Success("It is taken in.", schemas.SuccessJson, {"success": True})},
        refuses=(*_WEBHOOKS, errors.RecordingNotFoundError()),
    ),
)
