"""LiveKit's Egress and RoomService, as `usecases.ports.Egress`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from livekit import api
from livekit.protocol import egress as protocol
from livekit.protocol import models
from livekit.protocol.room import ListParticipantsRequest, ListRoomsRequest

from recorder.domain.egress import EgressSnapshot, OpenRoom
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
from recorder.livekit.client import Client, bounded
from recorder.livekit.info import DEPLOYMENT_METADATA, snapshot_of
from recorder.livekit.lookup import FIND_SECONDS
from recorder.livekit.requests import Delivery, StartRequest, start_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from recorder.domain.outputs import Output
    from recorder.domain.sources import Kind
    from recorder.livekit.client import LiveKit
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
ROOM_CONCURRENCY: Final = 32
"""After an outage of ten minutes the participants of all live rooms are asked for in one sweep."""
_PROMPT_SECONDS: Final = 1.0
_SOUGHT_SECONDS: Final = 2.9
_PAGES: Final = 1000
"""So many pages a list may have; `LIST_SECONDS` bounds them together."""

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
        self._client = Client(connect)
        self._api_key = api_key
        self._storage = storage
        self._upload = upload
        self._upload_credentials = upload_credentials or {}

    def start(self, kind: Kind, outputs: Sequence[Output], webhook_url: str | None) -> EgressSnapshot:
        request = start_request(kind, outputs, self._delivery(webhook_url))
        info = self._client.run(
            lambda livekit: bounded(_started(livekit, request), START_SECONDS, _START_ERRORS)
        )
        return snapshot_of(info, self._storage)

    def stop(self, egress_id: str) -> EgressSnapshot:
        return _result(self.stop_many([egress_id], seconds=STOP_SECONDS))

    def find(self, egress_id: str) -> EgressSnapshot:
        return _result(self.find_many([egress_id], seconds=FIND_SECONDS))

    def find_many(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Answer]:

        async def find(livekit: LiveKit, egress_id: str) -> protocol.EgressInfo:
            request = protocol.ListEgressRequest(egress_id=egress_id)
            answer = await bounded(livekit.egress.list_egress(request), FIND_SECONDS, _FIND_ERRORS)
            if not answer.items:
                # LiveKit answers an id that it does not know with not_found: this is no answer of LiveKit's.
                raise EgressUnansweredError(egress_id)
            return answer.items[0]

        return self._many(egress_ids, find, seconds)

    def stop_many(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Answer]:

        async def stop(livekit: LiveKit, egress_id: str) -> protocol.EgressInfo:
            request = protocol.StopEgressRequest(egress_id=egress_id)
            return await bounded(livekit.egress.stop_egress(request), STOP_SECONDS, _STOP_ERRORS)

        return self._many(egress_ids, stop, seconds)

    def ask_handlers(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Handler]:

        async def ask(livekit: LiveKit, egress_id: str) -> Handler:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                async with asyncio.timeout(HANDLER_SECONDS):
                    # Without URLs it changes nothing.
                    await livekit.egress.update_stream(protocol.UpdateStreamRequest(egress_id=egress_id))
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
        answer = self._client.run(
            lambda livekit: bounded(
                livekit.room.list_rooms(ListRoomsRequest(names=room_names)), LIST_SECONDS, _NONE
            )
        )
        return {
            room.name: OpenRoom(sid=room.sid, recorded=room.active_recording, silent=room.num_publishers == 0)
            for room in answer.rooms
        }

    def recorders(self, room_names: Iterable[str], *, seconds: float) -> dict[str, frozenset[str]]:

        async def ask(livekit: LiveKit, room_name: str) -> frozenset[str]:
            request = ListParticipantsRequest(room=room_name)
            try:
                answer = await bounded(livekit.room.list_participants(request), LIST_SECONDS, _FIND_ERRORS)
            except EgressNotFoundError:
                return frozenset()
            return frozenset(
                participant.identity
                for participant in answer.participants
                if participant.kind == models.ParticipantInfo.Kind.EGRESS
            )

        answers = self._each(room_names, ask, seconds, ROOM_CONCURRENCY)
        return {name: found for name, found in answers.items() if not isinstance(found, RecorderError)}

    def close(self) -> None:
        """Close the HTTP session and the event loop."""
        self._client.close()

    def _many(
        self,
        egress_ids: Iterable[str],
        call: Callable[[LiveKit, str], Awaitable[protocol.EgressInfo]],
        seconds: float,
    ) -> dict[str, Answer]:
        async def one(livekit: LiveKit, egress_id: str) -> EgressSnapshot:
            return snapshot_of(await call(livekit, egress_id), self._storage)

        return self._each(egress_ids, one, seconds, CONCURRENCY)

    def _each[T](
        self,
        egress_ids: Iterable[str],
        call: Callable[[LiveKit, str], Awaitable[T]],
        seconds: float,
        concurrency: int,
    ) -> dict[str, T | RecorderError]:
        async def call_all(livekit: LiveKit) -> list[tuple[str, T | RecorderError]]:
            places = asyncio.Semaphore(concurrency)
            over = asyncio.get_running_loop().time() + seconds

            async def one(egress_id: str) -> tuple[str, T | RecorderError]:
                async with places:
                    try:
                        if asyncio.get_running_loop().time() >= over:
                            return egress_id, EgressNotAskedError(egress_id)
                        async with asyncio.timeout_at(over):
                            return egress_id, await call(livekit, egress_id)
                    except TimeoutError:
                        return egress_id, EgressUnansweredError(egress_id)
                    except RecorderError as error:
                        return egress_id, error

            return await asyncio.gather(*(one(egress_id) for egress_id in egress_ids))

        return dict(self._client.run(call_all))

    def _list(self, request: protocol.ListEgressRequest) -> list[EgressSnapshot]:
        infos = self._client.run(lambda livekit: bounded(_all_pages(livekit, request), LIST_SECONDS, _NONE))
        return [snapshot_of(info, self._storage) for info in infos]

    def _delivery(self, webhook_url: str | None) -> Delivery:
        upload = self._upload
        if upload is None:
            raise EgressMisconfiguredError("no upload settings")
        webhooks = [models.WebhookConfig(url=webhook_url, signing_key=self._api_key)] if webhook_url else []
        return Delivery(s3=self._s3(upload), template_url=upload.template_url, webhooks=webhooks)

    def _s3(self, upload: UploadSettings) -> protocol.S3Upload:
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


def _started(livekit: LiveKit, request: StartRequest) -> Awaitable[protocol.EgressInfo]:
    match request:
        case protocol.RoomCompositeEgressRequest():
            return livekit.egress.start_room_composite_egress(request)
        case protocol.ParticipantEgressRequest():
            return livekit.egress.start_participant_egress(request)
        case protocol.TrackCompositeEgressRequest():
            return livekit.egress.start_track_composite_egress(request)
        case protocol.TrackEgressRequest():
            return livekit.egress.start_track_egress(request)
        case protocol.WebEgressRequest():
            return livekit.egress.start_web_egress(request)


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


async def _all_pages(livekit: LiveKit, request: protocol.ListEgressRequest) -> list[protocol.EgressInfo]:
    """Return the egress of every page: one page alone would be evidence against the egress on the others."""
    infos: list[protocol.EgressInfo] = []
    for _ in range(_PAGES):
        answer = await livekit.egress.list_egress(request)
        infos += answer.items
        token = answer.next_page_token.token
        if not token:
            return infos
        request.page_token.token = token
    raise EgressUnansweredError("the list does not end")
