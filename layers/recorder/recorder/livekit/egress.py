"""LiveKit's Egress and RoomService through livekit-api; its types and errors end here.

livekit-api's own time-out has no effect with aiohttp, so each call is bounded here; its failover replays POSTs,
which would start an egress twice, so it is off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol, cast

import aiohttp
from livekit import api
from livekit.protocol import egress as protocol
from livekit.protocol import models
from livekit.protocol.room import ListParticipantsRequest, ListRoomsRequest

from recorder.domain.egress import EgressSnapshot, OpenRoom
from recorder.domain.sources import Source
from recorder.domain.verdict import Handler
from recorder.errors import (
    EgressEndedError,
    EgressMisconfiguredError,
    EgressNotAskedError,
    EgressNotFoundError,
    EgressRefusedError,
    EgressUnansweredError,
    EgressUnavailableError,
    RecorderError,
    RoomNotFoundError,
)
from recorder.livekit.info import DEPLOYMENT_METADATA, snapshot_of
from recorder.livekit.lookup import FIND_SECONDS
from recorder.untrusted import cleaned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from recorder.domain.recording import Recording
    from recorder.settings import StorageSettings, UploadSettings
    from recorder.usecases.ports import Answer

START_SECONDS: Final = 25.0
"""No worker is answered after 20 to 24 s, and API Gateway waits 29 s for all of it."""
STOP_SECONDS: Final = 10.0
LIST_SECONDS: Final = 15.0
CONCURRENCY: Final = 8
HANDLER_SECONDS: Final = 6.0
"""A handler that lives answers in milliseconds, LiveKit looks for one for 3.0 s, and one that is stuck takes 15 s."""
HANDLER_CONCURRENCY: Final = 32
"""Such a call waits and does nothing, and when a host dies, all of its handlers are silent at once."""
_PROMPT_SECONDS: Final = 1.0
_SOUGHT_SECONDS: Final = 2.9
_IDLE_SECONDS: Final = 10.0
_PREFIX: Final = "twirp error unknown: "

# Answers that say for certain that nothing was started; every other failure of Start says nothing.
_START_ERRORS: Final[Mapping[str, type[RecorderError]]] = {
    "not_found": RoomNotFoundError,
    "invalid_argument": EgressRefusedError,
    "malformed": EgressRefusedError,
    "failed_precondition": EgressRefusedError,
    "unavailable": EgressUnavailableError,
    "resource_exhausted": EgressUnavailableError,
    "unauthenticated": EgressMisconfiguredError,
    "permission_denied": EgressMisconfiguredError,
    "bad_route": EgressMisconfiguredError,
}
_STOP_ERRORS: Final[Mapping[str, type[RecorderError]]] = {
    "failed_precondition": EgressEndedError,
    "not_found": EgressNotFoundError,
}
_FIND_ERRORS: Final[Mapping[str, type[RecorderError]]] = {"not_found": EgressNotFoundError}
_NONE: Final[Mapping[str, type[RecorderError]]] = {}

# Width and height in pixels and the default video bitrate in kbit/s: LiveKit's presets know no 480p.
RESOLUTIONS: Final[Mapping[str, tuple[int, int, int]]] = {
    "1080p": (1920, 1080, 4500),
    "720p": (1280, 720, 3000),
    "480p": (854, 480, 1500),
}
FRAMERATE: Final = 30
AUDIO_BITRATE: Final = 128
_AUDIO_CODECS: Final = {"aac": models.AudioCodec.AAC, "opus": models.AudioCodec.OPUS}


class LiveKit(Protocol):
    """The part of `livekit.api.LiveKitAPI` that is used here."""

    @property
    def egress(self) -> api.egress_service.EgressService:
        """The Egress service."""

    @property
    def room(self) -> api.room_service.RoomService:
        """The RoomService."""

    async def aclose(self) -> None:
        """Close the HTTP session."""


class LiveKitEgress:
    """LiveKit's egress and rooms, as `usecases.ports.Egress`."""

    def __init__(
        self,
        connect: Callable[[], LiveKit],
        *,
        api_key: str,
        storage: StorageSettings,
        upload: UploadSettings | None = None,
        upload_credentials: Mapping[str, str] | None = None,
    ) -> None:
        """Take `connect`, which is called inside the event loop that all calls share."""
        self._connect = connect
        self._api_key = api_key
        self._storage = storage
        self._upload = upload
        self._upload_credentials = upload_credentials or {}
        self._runner = asyncio.Runner()
        self._client: LiveKit | None = None
        self._used_at = 0.0

    def start(self, recording: Recording, webhook_url: str | None) -> EgressSnapshot:
        webhooks = [models.WebhookConfig(url=webhook_url, signing_key=self._api_key)] if webhook_url else []
        if recording.source is Source.TRACK:
            track = self._track_request(recording, webhooks)
            info = self._run(lambda client: _start(client.egress.start_track_egress(track)))
        else:
            composite = self._composite_request(recording, webhooks)
            info = self._run(lambda client: _start(client.egress.start_room_composite_egress(composite)))
        return snapshot_of(info, self._storage)

    def stop(self, egress_id: str) -> EgressSnapshot:
        return _result(self.stop_many([egress_id], seconds=STOP_SECONDS))

    def find(self, egress_id: str) -> EgressSnapshot:
        return _result(self.find_many([egress_id], seconds=FIND_SECONDS))

    def find_many(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Answer]:

        async def find(client: LiveKit, egress_id: str) -> protocol.EgressInfo:
            request = protocol.ListEgressRequest(egress_id=egress_id)
            answer = await _bounded(client.egress.list_egress(request), FIND_SECONDS, _FIND_ERRORS)
            if not answer.items:
                # LiveKit answers an id that it does not know with not_found: this is no answer of LiveKit's.
                raise EgressUnansweredError(egress_id)
            return answer.items[0]

        return self._many(egress_ids, find, seconds)

    def stop_many(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Answer]:

        async def stop(client: LiveKit, egress_id: str) -> protocol.EgressInfo:
            request = protocol.StopEgressRequest(egress_id=egress_id)
            return await _bounded(client.egress.stop_egress(request), STOP_SECONDS, _STOP_ERRORS)

        return self._many(egress_ids, stop, seconds)

    def ask_handlers(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Handler]:

        async def ask(client: LiveKit, egress_id: str) -> Handler:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                async with asyncio.timeout(HANDLER_SECONDS):
                    # Without URLs it changes nothing.
                    await client.egress.update_stream(protocol.UpdateStreamRequest(egress_id=egress_id))
            except api.ServerError as error:
                return _handler(error, loop.time() - began)
            except Exception as error:  # noqa: BLE001 - also an answer that cannot be read is none
                raise EgressUnansweredError(type(error).__name__) from None
            return Handler.ANSWERS

        answers = self._each(egress_ids, ask, seconds, HANDLER_CONCURRENCY)
        return {
            egress_id: answer if isinstance(answer, Handler) else Handler.UNKNOWN
            for egress_id, answer in answers.items()
        }

    def list_active(self) -> list[EgressSnapshot]:
        return self._list(protocol.ListEgressRequest(active=True))

    def list_room(self, room_name: str) -> list[EgressSnapshot]:
        return self._list(protocol.ListEgressRequest(room_name=room_name))

    def open_rooms(self, room_names: Sequence[str]) -> dict[str, OpenRoom]:
        answer = self._run(
            lambda client: _bounded(
                client.room.list_rooms(ListRoomsRequest(names=room_names)), LIST_SECONDS, _NONE
            )
        )
        return {
            room.name: OpenRoom(sid=room.sid, recorded=room.active_recording, silent=room.num_publishers == 0)
            for room in answer.rooms
        }

    def recorders(self, room_name: str) -> frozenset[str]:
        request = ListParticipantsRequest(room=room_name)
        try:
            answer = self._run(
                lambda client: _bounded(client.room.list_participants(request), LIST_SECONDS, _FIND_ERRORS)
            )
        except EgressNotFoundError:
            return frozenset()
        return frozenset(
            participant.identity
            for participant in answer.participants
            if participant.kind == models.ParticipantInfo.Kind.EGRESS
        )

    def close(self) -> None:
        """Close the HTTP session and the event loop."""
        client, self._client = self._client, None
        if client is not None:
            self._runner.run(client.aclose())
        self._runner.close()

    def _many(
        self,
        egress_ids: Iterable[str],
        call: Callable[[LiveKit, str], Awaitable[protocol.EgressInfo]],
        seconds: float,
    ) -> dict[str, Answer]:
        async def one(client: LiveKit, egress_id: str) -> EgressSnapshot:
            return snapshot_of(await call(client, egress_id), self._storage)

        return self._each(egress_ids, one, seconds, CONCURRENCY)

    def _each[T](
        self,
        egress_ids: Iterable[str],
        call: Callable[[LiveKit, str], Awaitable[T]],
        seconds: float,
        concurrency: int,
    ) -> dict[str, T | RecorderError]:
        async def call_all(client: LiveKit) -> list[tuple[str, T | RecorderError]]:
            places = asyncio.Semaphore(concurrency)
            over = asyncio.get_running_loop().time() + seconds

            async def one(egress_id: str) -> tuple[str, T | RecorderError]:
                async with places:
                    try:
                        if asyncio.get_running_loop().time() >= over:
                            return egress_id, EgressNotAskedError(egress_id)
                        async with asyncio.timeout_at(over):
                            return egress_id, await call(client, egress_id)
                    except TimeoutError:
                        return egress_id, EgressUnansweredError(egress_id)
                    except RecorderError as error:
                        return egress_id, error

            return await asyncio.gather(*(one(egress_id) for egress_id in egress_ids))

        return dict(self._run(call_all))

    def _list(self, request: protocol.ListEgressRequest) -> list[EgressSnapshot]:
        answer = self._run(lambda client: _bounded(client.egress.list_egress(request), LIST_SECONDS, _NONE))
        return [snapshot_of(info, self._storage) for info in answer.items]

    def _run[T](self, call: Callable[[LiveKit], Awaitable[T]]) -> T:
        async def run() -> T:
            # A connection that lay idle, perhaps while the environment was frozen, may be dead: Start must not
            # find out with its POST.
            if self._client is not None and time.time() - self._used_at > _IDLE_SECONDS:
                await self._client.aclose()
                self._client = None
            if self._client is None:
                self._client = self._connect()
            try:
                return await call(self._client)
            finally:
                self._used_at = time.time()

        return self._runner.run(run())

    def _composite_request(
        self, recording: Recording, webhooks: list[models.WebhookConfig]
    ) -> protocol.RoomCompositeEgressRequest:
        width, height, video_bitrate = RESOLUTIONS[cast("str", recording.resolution)]
        return protocol.RoomCompositeEgressRequest(
            room_name=recording.room_name,
            layout=recording.layout,
            custom_base_url=self._upload.template_url if self._upload else "",
            advanced=protocol.EncodingOptions(
                width=width,
                height=height,
                framerate=FRAMERATE,
                video_codec=models.VideoCodec.H264_MAIN,
                video_bitrate=recording.video_bitrate or video_bitrate,
                audio_codec=_AUDIO_CODECS[cast("str", recording.audio_codec)],
                audio_bitrate=recording.audio_bitrate or AUDIO_BITRATE,
            ),
            file_outputs=[
                protocol.EncodedFileOutput(
                    file_type=protocol.EncodedFileType.MP4,
                    filepath=f"{recording.prefix}recording.mp4",
                    disable_manifest=True,
                    s3=self._s3(),
                )
            ],
            webhooks=webhooks,
        )

    def _track_request(
        self, recording: Recording, webhooks: list[models.WebhookConfig]
    ) -> protocol.TrackEgressRequest:
        return protocol.TrackEgressRequest(
            room_name=recording.room_name,
            track_id=recording.track_sid,
            # LiveKit appends the extension of the track's codec.
            file=protocol.DirectFileOutput(
                filepath=f"{recording.prefix}recording", disable_manifest=True, s3=self._s3()
            ),
            webhooks=webhooks,
        )

    def _s3(self) -> protocol.S3Upload:
        upload = self._upload
        if upload is None:
            raise EgressMisconfiguredError("no upload settings")
        return protocol.S3Upload(
            bucket=self._storage.bucket,
            region=upload.region,
            endpoint=upload.endpoint,
            force_path_style=bool(upload.endpoint),
            access_key=self._upload_credentials.get("access_key", ""),
            secret=self._upload_credentials.get("secret", ""),
            assume_role_arn=upload.assume_role_arn,
            assume_role_external_id=upload.assume_role_external_id,
            metadata={DEPLOYMENT_METADATA: self._storage.deployment},
        )


def _result(outcomes: dict[str, Answer]) -> EgressSnapshot:
    [outcome] = outcomes.values()
    if isinstance(outcome, RecorderError):
        raise outcome
    return outcome


async def _start(answer: Awaitable[protocol.EgressInfo]) -> protocol.EgressInfo:
    return await _bounded(answer, START_SECONDS, _START_ERRORS)


async def _bounded[T](answer: Awaitable[T], seconds: float, errors: Mapping[str, type[RecorderError]]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except api.ServerError as error:
        raise _translated(error, errors) from None
    except aiohttp.ClientConnectorError:
        # Nothing was sent.
        raise errors.get("unavailable", EgressUnansweredError)("LiveKit cannot be reached") from None
    except Exception as error:  # noqa: BLE001 - also an answer that cannot be read is none
        raise EgressUnansweredError(type(error).__name__) from None


def _translated(error: api.ServerError, errors: Mapping[str, type[RecorderError]]) -> RecorderError:
    # A wrong or expired token is answered as plain text that echoes it, so its text goes nowhere.
    code = error.code
    if code == "unknown" and error.status in {401, 403}:
        code = "unauthenticated"
    kind = errors.get(code, EgressUnansweredError)
    return kind(cleaned(error.message).removeprefix(_PREFIX) or code)


def _handler(error: api.ServerError, seconds: float) -> Handler:
    """Tell what an error that came after so many seconds says of an egress' handler.

    Some errors are the handler's own. Others LiveKit explains by its listing, and only the time tells whether a handler
    took the call. Every other error says nothing.
    """
    if error.code == "invalid_argument" and "non-streaming" in error.message:
        return Handler.ANSWERS
    if error.code == "unavailable" and "no response" in error.message:
        return Handler.SILENT if seconds >= _SOUGHT_SECONDS else Handler.UNKNOWN
    unlisted = error.code == "not_found" and "does not exist" in error.message
    if unlisted or error.code == "failed_precondition":
        if seconds < _PROMPT_SECONDS:
            return Handler.ANSWERS
        return Handler.SILENT if seconds >= _SOUGHT_SECONDS else Handler.UNKNOWN
    return Handler.UNKNOWN


def connect(url: str, api_key: str, api_secret: str) -> LiveKit:
    """Open a client; must run inside the event loop that uses it."""
    logging.getLogger("livekit").setLevel(logging.ERROR)
    return api.LiveKitAPI(url, api_key, api_secret, failover=False)
