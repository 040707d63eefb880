"""The query of the list call, and its cursor."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from .domain import Status
from .errors import InvalidRequestError
from .repository import Page
from .untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .domain import Recording

PARAMETERS: Final = ("roomName", "limit", "cursor", "status", "from", "to", "order")
DEFAULT_LIMIT: Final = 50
MAXIMUM_LIMIT: Final = 100
_NO_CURSOR: Final = ("cursor", "is not a cursor of this list")


def page_of(query: Mapping[str, str], user_id: str) -> Page:
    """Return the page that a query asks for. Raises InvalidRequestError naming the parameter."""
    page = Page(
        user_id=user_id,
        limit=_limit(query.get("limit")),
        oldest_first=_order(query.get("order")),
        room_name=query.get("roomName"),
        status=_status(query.get("status")),
        created_from=_time("from", query.get("from")),
        created_to=_time("to", query.get("to")),
    )
    cursor = query.get("cursor")
    if cursor is None:
        return page
    return replace(page, after=_position(cursor, page))


def cursor_after(page: Page, last: Recording) -> str:
    """Return the cursor of the page that follows the one whose last recording is given."""
    position = [last.created_at.isoformat(), str(last.id)]
    return (
        base64.urlsafe_b64encode(json.dumps([*position, _seal(page, position)]).encode()).decode().rstrip("=")
    )


def _position(cursor: str, page: Page) -> tuple[datetime, UUID]:
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        value = json_value(base64.b64decode(padded, altchars=b"-_", validate=True))
        created_at, id_, seal = cast("list[str]", value)
        genuine = seal == _seal(page, [created_at, id_])
        position = _utc(created_at), UUID(id_)
    except (ValueError, TypeError, AttributeError):
        raise InvalidRequestError(_NO_CURSOR) from None
    if not genuine:
        raise InvalidRequestError(_NO_CURSOR)
    return position


def _seal(page: Page, position: Sequence[str]) -> str:
    """Bind a cursor to the caller and the filters that it was given for."""
    filters = [
        page.user_id,
        page.oldest_first,
        page.room_name,
        page.status,
        page.created_from.isoformat() if page.created_from else None,
        page.created_to.isoformat() if page.created_to else None,
    ]
    return hashlib.sha256(json.dumps([*filters, *position]).encode()).hexdigest()[:16]


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


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    try:
        return Status(text)
    except ValueError:
        raise InvalidRequestError(("status", f"must be one of {', '.join(Status)}")) from None


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # A plus sign that was not escaped arrives as a space; RFC 3339 allows small letters.
        return _utc(text.replace(" ", "+").upper())
    except ValueError:
        raise InvalidRequestError((name, "must be a time in ISO 8601")) from None


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range in UTC") from None
