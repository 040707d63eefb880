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
from recorder.livekit.info import infos_in, snapshot_of
from recorder.outbound import post
from recorder.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livekit.protocol import egress as protocol

    from recorder.domain.egress import EgressSnapshot
    from recorder.settings import StorageSettings

FIND_SECONDS: Final = 3.0
_TOKEN_SECONDS: Final = 600


class EgressLookup:
    """LiveKit's record of the egress that run, or ended in the last 24 hours."""

    def __init__(self, url: str, *, api_key: str, api_secret: str, storage: StorageSettings) -> None:
        # LiveKit's address is often given as that of its websocket.
        self._url = (
            f"http{url.removeprefix('http').removeprefix('ws').rstrip('/')}/twirp/livekit.Egress/ListEgress"
        )
        self._api_key = api_key
        self._api_secret = api_secret
        self._storage = storage

    def find(self, egress_id: str) -> EgressSnapshot:
        """Look an egress up. Raises EgressNotFoundError or EgressUnansweredError."""
        found = self._list(egress_id)
        if not found:
            # LiveKit answers an id that it does not know with not_found: this is no answer of LiveKit's.
            raise EgressUnansweredError(egress_id)
        return snapshot_of(found[0], self._storage)

    def _list(self, egress_id: str) -> list[protocol.EgressInfo]:
        token = _token(self._api_key, self._api_secret, {"roomRecord": True})
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"egress_id": egress_id}).encode()
        try:
            status, text = post(self._url, body, headers, seconds=FIND_SECONDS)
            # A refused token is answered as plain text that echoes it, so no text of an error goes anywhere.
            answer = json_value(text)
            if status == HTTPStatus.OK:
                return infos_in(answer)
        except (OSError, ValueError) as error:
            raise EgressUnansweredError(type(error).__name__) from error
        if isinstance(answer, dict) and answer.get("code") == "not_found":
            raise EgressNotFoundError(egress_id)
        raise EgressUnansweredError(str(status))


def _token(api_key: str, api_secret: str, grants: Mapping[str, bool]) -> str:
    now = int(time.time())
    claims = {"iss": api_key, "nbf": now - 10, "exp": now + _TOKEN_SECONDS, "video": grants}
    signed = ".".join(
        _base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    return f"{signed}.{_base64url(hmac.digest(api_secret.encode(), signed.encode(), 'sha256'))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
