"""The query of the list call, and its cursor."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from recorder.domain.recording import Status
from recorder.domain.sources import Source
from recorder.errors import InvalidRequestError
from recorder.usecases.ports import Page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from recorder.domain.recording import Recording

PARAMETERS: Final = ("roomName", "limit", "cursor", "status", "source", "reference", "from", "to", "order")
DEFAULT_LIMIT: Final = 50
MAXIMUM_LIMIT: Final = 100
CURSOR: Final = r"^-?[0-9]{1,16}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}_[0-9a-f]{16}$"
"""Where a page ended: when its last recording was asked for, in microseconds since 1970, that recording's id, and what
binds both to the list that gave the cursor."""
_RFC3339: Final = (
    r"(?a)(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<minute>\d\d:\d\d):(?P<second>\d\d)(?P<fraction>\.\d+)?"
    r"(?P<offset>[Zz]|[+\- ]\d\d:\d\d)"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def page_of(query: Mapping[str, str], user_id: str) -> Page:
    """Return the page that a query asks for. Raises InvalidRequestError naming the parameter."""
    page = Page(
        user_id=user_id,
        limit=_limit(query.get("limit")),
        oldest_first=_order(query.get("order")),
        room_name=query.get("roomName"),
        status=_member("status", Status, query.get("status")),
        source=_member("source", Source, query.get("source")),
        reference=query.get("reference"),
        created_from=_time("from", query.get("from")),
        created_to=_time("to", query.get("to")),
    )
    cursor = query.get("cursor")
    return page if cursor is None else page._replace(after=_position(cursor, page))


def cursor_after(page: Page, last: Recording) -> str:
    """Return the cursor of the page that follows `page`, whose last recording is given."""
    position = f"{(last.created_at - _EPOCH) // _MICROSECOND}_{last.id}"
    return f"{position}_{_seal(page, position)}"


def _position(cursor: str, page: Page) -> tuple[datetime, UUID]:
    position, _, seal = cursor.rpartition("_")
    if not re.fullmatch(CURSOR, cursor) or seal != _seal(page, position):
        raise InvalidRequestError(("cursor", "is not a cursor of this list"))
    microseconds, _, id_ = position.partition("_")
    return _EPOCH + int(microseconds) * _MICROSECOND, UUID(id_)


def _seal(page: Page, position: str) -> str:
    """Bind a position to the caller and the filters: with others, going on from there would skip or repeat."""
    times = [time.isoformat() if time else None for time in (page.created_from, page.created_to)]
    bound = [page.user_id, page.oldest_first, page.room_name, page.status, *times, position]
    if page.source is not None or page.reference is not None:
        # Cursors of other lists stay as they were before there were these filters.
        bound += [page.source, page.reference]
    return hashlib.sha256(json.dumps(bound).encode()).hexdigest()[:16]


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAXIMUM_LIMIT)) else 0
    if not 1 <= number <= MAXIMUM_LIMIT:
        raise InvalidRequestError(("limit", f"must be a whole number from 1 to {MAXIMUM_LIMIT}"))
    return number


def _order(text: str | None) -> bool:
    if text not in {None, "asc", "desc"}:
        raise InvalidRequestError(("order", "must be asc or desc"))
    return text == "asc"


def _member[Member: StrEnum](name: str, kind: type[Member], text: str | None) -> Member | None:
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise InvalidRequestError((name, f"must be one of {', '.join(kind)}")) from None


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return _time_in(text)
    except (ValueError, OverflowError):
        raise InvalidRequestError(
            (name, "must be a time in RFC 3339, such as 2026-11-22T00:00:00Z")
        ) from None


def _time_in(text: str) -> datetime:
    """Return a time of RFC 3339 in UTC. Raises ValueError or OverflowError where it is none, or none of ours."""
    parts = re.fullmatch(_RFC3339, text)
    if parts is None:
        raise ValueError
    # A plus sign that was not escaped arrives as a space.
    offset = parts["offset"].replace(" ", "+").upper()
    leap = parts["second"] == "60"
    time = datetime.fromisoformat(
        f"{parts['date']}T{parts['minute']}:{'59' if leap else parts['second']}{parts['fraction'] or ''}{offset}"
    )
    return (time + timedelta(seconds=leap)).astimezone(UTC)
