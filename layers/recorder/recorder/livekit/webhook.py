"""LiveKit's webhooks: proof of origin, then the egress that one speaks of.

livekit-api has a receiver, but importing it costs the HTTP client too, and it reads an unknown status as STARTING.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final, cast

import jwt

from recorder.errors import InvalidRequestError, UnauthorizedError
from recorder.livekit.info import info_in, snapshot_of
from recorder.untrusted import json_value

if TYPE_CHECKING:
    from recorder.domain.egress import EgressSnapshot
    from recorder.settings import StorageSettings

MAXIMUM_BYTES: Final = 256 * 1024
"""LiveKit's own are some kilobytes."""
_LEEWAY_SECONDS: Final = 60


def verify(body: bytes, authorization: str, *, api_key: str, api_secret: str) -> None:
    """Check that LiveKit signed `body`: HS256, issuer = API key, claim `sha256`; raises UnauthorizedError.

    `authorization` is the header's value as LiveKit sends it, without "Bearer".
    """
    try:
        claims: dict[str, object] = jwt.decode(
            authorization,
            key=api_secret,
            algorithms=["HS256"],
            issuer=api_key,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iss"]},
        )
        claimed = base64.b64decode(str(claims.get("sha256", "")), validate=True)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        # PyJWT's text may quote the token.
        raise UnauthorizedError("the webhook's signature is not valid") from None
    if not hmac.compare_digest(claimed, hashlib.sha256(body).digest()):
        raise UnauthorizedError("the webhook's signature is not valid")


def snapshot_in(body: bytes, storage: StorageSettings) -> EgressSnapshot | None:
    """Return what a verified webhook says of an egress, or None where it speaks of something else.

    Raises InvalidRequestError where the body is not what LiveKit sends.
    """
    try:
        event = json_value(body)
        if not isinstance(event, dict):
            raise ValueError("not an object")  # noqa: TRY004, TRY301 - it is the text that is wrong
        info = info_in(cast("dict[str, object]", event).get("egressInfo"))
    except ValueError:
        raise InvalidRequestError(("body", "is not a LiveKit webhook")) from None
    # Room events have no egress, and automatic egress that failed to start has no id.
    return snapshot_of(info, storage) if info.egress_id else None
