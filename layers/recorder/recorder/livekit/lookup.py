"""One egress in LiveKit's record, looked up with the standard library.

This is all that a read needs of LiveKit, and livekit-api would more than double its cold start.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from recorder.errors import EgressNotFoundError, EgressUnansweredError
from recorder.livekit.info import infos_in, people_in, rooms_in, snapshot_of
from recorder.outbound import post
from recorder.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recorder.domain.egress import EgressSnapshot
    from recorder.settings import StorageSettings

FIND_SECONDS: Final = 3.0
_TOKEN_SECONDS: Final = 600


class EgressLookup:
    """LiveKit's listing of single egress, and its rooms, as `usecases.ports.Listing`."""

    def __init__(self, url: str, *, api_key: str, api_secret: str, storage: StorageSettings) -> None:
        # LiveKit's address is often given as that of its websocket.
        self._url = f"http{url.removeprefix('http').removeprefix('ws').rstrip('/')}/twirp/livekit."
        self._api_key = api_key
        self._api_secret = api_secret
        self._storage = storage

    def find(self, egress_id: str) -> EgressSnapshot:
        answer = self._call("Egress/ListEgress", {"egress_id": egress_id}, {"roomRecord": True})
        if answer is None:
            raise EgressNotFoundError(egress_id)
        found = _understood(infos_in, answer)
        if not found:
            # LiveKit answers an id that it does not know with not_found: this is no answer of LiveKit's.
            raise EgressUnansweredError(egress_id)
        return snapshot_of(found[0], self._storage)

    def has_people(self, room_name: str, identity: str | None = None) -> bool | None:
        rooms = self._call("RoomService/ListRooms", {"names": [room_name]}, {"roomList": True})
        if not _understood(rooms_in, rooms):
            return False
        grants: dict[str, bool | str] = {"roomAdmin": True, "room": room_name}
        answer = self._call("RoomService/ListParticipants", {"room": room_name}, grants)
        people = _understood(people_in, answer) if answer is not None else []
        return True if any(identity in {None, each} for each in people) else None

    def _call(self, method: str, request: object, grants: Mapping[str, bool | str]) -> object | None:
        """Return LiveKit's answer; None where it says not_found. Raises EgressUnansweredError."""
        token = _token(self._api_key, self._api_secret, grants)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            status, text = post(
                f"{self._url}{method}", json.dumps(request).encode(), headers, seconds=FIND_SECONDS
            )
            # A refused token is answered as plain text that echoes it, so no text of an error goes anywhere.
            answer = json_value(text)
        except (OSError, ValueError) as error:
            raise EgressUnansweredError(type(error).__name__) from error
        if status == HTTPStatus.OK:
            return answer
        if isinstance(answer, dict) and answer.get("code") == "not_found":
            return None
        raise EgressUnansweredError(str(status))


def _understood[T](read: Callable[[object], T], answer: object) -> T:
    try:
        return read(answer)
    except ValueError as error:
        raise EgressUnansweredError(type(error).__name__) from error


def _token(api_key: str, api_secret: str, grants: Mapping[str, bool | str]) -> str:
    now = int(time.time())
    claims = {"iss": api_key, "nbf": now - 10, "exp": now + _TOKEN_SECONDS, "video": grants}
    signed = ".".join(
        _base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    return f"{signed}.{_base64url(hmac.digest(api_secret.encode(), signed.encode(), 'sha256'))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
