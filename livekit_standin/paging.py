"""Pages of ListEgress, as a LiveKit has them that does not give its whole list at once."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from livekit.protocol import egress, models

from livekit_standin.twirp import TwirpError, invalid_argument

_INVALID = invalid_argument("invalid page token")


def page(
    whole: egress.ListEgressResponse, request: egress.ListEgressRequest, size: int
) -> egress.ListEgressResponse | TwirpError:
    """Give the next `size` entries behind the page token of a request, or refuse the token."""
    items = list(whole.items)
    if request.page_token.token:
        try:
            last = _read(request.page_token.token)
        except ValueError:
            return _INVALID
        items = [item for item in items if (-item.started_at, item.egress_id) > last]
    given = items[:size]
    more = models.TokenPagination(token=_write(given[-1])) if len(items) > size else None
    return egress.ListEgressResponse(items=given, next_page_token=more)


def _write(last: egress.EgressInfo) -> str:
    return urlsafe_b64encode(f"{-last.started_at} {last.egress_id}".encode()).decode()


def _read(token: str) -> tuple[int, str]:
    started_at, _, egress_id = urlsafe_b64decode(token).decode().partition(" ")
    return int(started_at), egress_id
