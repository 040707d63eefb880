"""The event with which one function of the product calls another for one recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from recorder.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELD: Final = "recordingId"


def recording_of(event: Mapping[str, object]) -> UUID:
    """Return the id of the recording that a call is for. Raises InvalidRequestError where it names none."""
    try:
        return UUID(str(event[_FIELD]))
    except (KeyError, ValueError):
        raise InvalidRequestError((_FIELD, "must be a recording's id")) from None
