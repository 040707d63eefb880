"""LiveKit's access tokens, and the calls that the grants in them allow."""

from collections.abc import Mapping

import jwt
from google.protobuf.message import Message
from livekit.protocol import room

_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.InvalidSignatureError, "token signature is invalid: signature is invalid"),
    (jwt.ExpiredSignatureError, "token has invalid claims: token is expired"),
    (jwt.ImmatureSignatureError, "token has invalid claims: token is not valid yet"),
)


class UnauthorizedError(Exception):
    """The token is no good; the text is LiveKit's own, which may repeat the token."""


def video_grants(authorization: str | None, api_key: str, api_secret: str) -> Mapping[str, object]:
    """Give the grants of an Authorization header, none without a header; raises UnauthorizedError."""
    if authorization is None:
        return {}
    if not authorization.startswith("Bearer "):
        raise UnauthorizedError("invalid authorization header. Must start with Bearer ")
    token = authorization.removeprefix("Bearer ")
    try:
        issuer: object = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError:
        raise UnauthorizedError("invalid authorization token") from None
    if issuer != api_key:
        raise UnauthorizedError(f"invalid API key: {issuer}")
    try:
        video: object = jwt.decode(token, api_secret, algorithms=["HS256"]).get("video")
    except jwt.PyJWTError as error:
        reason = next((text for kind, text in _REASONS if isinstance(error, kind)), str(error))
        raise UnauthorizedError(f"invalid token: {token}, error: {reason}") from None
    return video if isinstance(video, dict) else {}


def may(grants: Mapping[str, object], grant: str, request: Message) -> bool:
    """Say whether the grants allow a request; an administrator administers the room of the token only."""
    if grants.get(grant) is not True:
        return False
    if isinstance(request, room.ListParticipantsRequest | room.RoomParticipantIdentity):
        return grants.get("room") == request.room
    return True
