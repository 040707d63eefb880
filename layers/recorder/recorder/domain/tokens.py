"""Tokens of live playlists: whoever has one may watch a recording for a while."""

import hmac
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from recorder.domain.recording import Recording

_FORM: Final = r"(?P<said>(?P<end>[0-9a-f]{8,10})\.(?P<link>[0-9a-f]{32})?)\.[0-9a-f]{64}"


class Permit(NamedTuple):
    """Permission to watch a recording until `expires_at`, which is a whole second."""

    expires_at: datetime
    link_id: UUID | None = None
    """The share link that gave it, with which it ends; None where the recording's owner has it."""


def token_of(recording: Recording, permit: Permit) -> str | None:
    """Return the token of a permit; None for a recording without a key of its own."""
    link = permit.link_id.hex if permit.link_id is not None else ""
    return _signed(recording, f"{int(permit.expires_at.timestamp()):08x}.{link}")


def permit_of(recording: Recording, token: str) -> Permit | None:
    """Return the permit of a token; None where it was not made for this recording. Its end is not looked at."""
    found = re.fullmatch(_FORM, token)
    made = _signed(recording, found["said"]) if found is not None else None
    # A time or an id that nobody has signed may be none.
    if found is None or made is None or not hmac.compare_digest(made, token):
        return None
    return Permit(
        expires_at=datetime.fromtimestamp(int(found["end"], 16), UTC),
        link_id=UUID(found["link"]) if found["link"] is not None else None,
    )


def _signed(recording: Recording, said: str) -> str | None:
    if recording.playback_key is None:
        return None
    # The recording's id binds the token to it, even if two rows had the same key.
    key, message = bytes.fromhex(recording.playback_key), f"{recording.id}.{said}".encode()
    return f"{said}.{hmac.digest(key, message, 'sha256').hex()}"
