"""API Gateway's HTTP API on one side, the use cases on the other: payload format 2.0 in, contract JSON out.

`endpoint` turns a function of a Request into a Lambda handler and maps every domain error to its answer, in one
table. Powertools' event handler would do this too, at half of a read function's whole cold start; it makes the
OpenAPI document instead (docs/decisions.md).
"""

from __future__ import annotations

import base64
import json
import zlib
from contextlib import suppress
from functools import cached_property, wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl
from uuid import UUID

from recorder import errors
from recorder.api.authorization import allows_room, claims_in, has_claim, has_scope
from recorder.api.preferences import seconds_to_wait
from recorder.bootstrap import current
from recorder.outbound import all_within
from recorder.telemetry import Code, cause_of, count, log, place_of
from recorder.untrusted import printable
from recorder.usecases.waiting import MAXIMUM_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from recorder.contract.schemas import ErrorJson
    from recorder.usecases.waiting import Waited

type Event = dict[str, object]
type Answer = dict[str, object]

MAXIMUM_BODY_BYTES: Final = 64 * 1024
MAXIMUM_KEY_LENGTH: Final = 255
MAXIMUM_SUBJECT_BYTES: Final = 1024
"""OpenID Connect allows 255 characters; what is much longer fits no index of Postgres."""

# The first class that fits counts, so a subclass stands before its base.
ERRORS: Final[tuple[tuple[type[errors.RecorderError], HTTPStatus, str], ...]] = (
    (errors.InvalidRequestError, HTTPStatus.BAD_REQUEST, "invalid_request"),
    (errors.UnauthorizedError, HTTPStatus.UNAUTHORIZED, "unauthorized"),
    (errors.ForbiddenError, HTTPStatus.FORBIDDEN, "forbidden"),
    (errors.RecordingNotFoundError, HTTPStatus.NOT_FOUND, "recording_not_found"),
    (errors.LinkNotFoundError, HTTPStatus.NOT_FOUND, "link_not_found"),
    (errors.RoomNotFoundError, HTTPStatus.NOT_FOUND, "room_not_found"),
    (errors.RecordingInProgressError, HTTPStatus.CONFLICT, "recording_in_progress"),
    (errors.NotPossibleNowError, HTTPStatus.CONFLICT, "not_possible_now"),
    (errors.TooManyLinksError, HTTPStatus.CONFLICT, "too_many_links"),
    (errors.RecordingGoneError, HTTPStatus.GONE, "recording_gone"),
    (errors.IdempotencyMismatchError, HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_mismatch"),
    (errors.UnsupportedCodecError, HTTPStatus.UNPROCESSABLE_ENTITY, "unsupported_codec"),
    (errors.EgressRefusedError, HTTPStatus.UNPROCESSABLE_ENTITY, "egress_refused"),
    (errors.EgressUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "egress_unavailable"),
    (errors.EgressNotAskedError, HTTPStatus.SERVICE_UNAVAILABLE, "egress_unavailable"),
    (errors.DatabaseUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "database_unavailable"),
    (errors.StorageUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "storage_unavailable"),
)
RETRY_AFTER_SECONDS: Final = 5
RESERVE_SECONDS: Final = 2.0
"""How long before Lambda would end the function no call goes out any more: the caller is to hear why."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000",
    "X-Content-Type-Options": "nosniff",
}


class Request:
    """One HTTP request. Each property raises InvalidRequestError, which names the field, or UnauthorizedError."""

    def __init__(self, event: Event) -> None:
        """Take API Gateway's event."""
        self.event: Final = event

    @cached_property
    def user_id(self) -> str:
        """The caller: the subject of the token that API Gateway has verified."""
        subject = self.claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise errors.UnauthorizedError("the token has no subject")
        if not printable(subject) or len(subject.encode()) > MAXIMUM_SUBJECT_BYTES:
            raise errors.UnauthorizedError("the token's subject is too long, or has control characters")
        return subject

    @cached_property
    def claims(self) -> Mapping[str, object]:
        """The claims that API Gateway's authorizer has verified."""
        return _mapping(_mapping(_mapping(self._context.get("authorizer")).get("jwt")).get("claims"))

    @cached_property
    def recording_id(self) -> UUID:
        """The id in the path; what is no UUID is no recording's id."""
        try:
            return UUID(str(_mapping(self.event.get("pathParameters")).get("id")))
        except ValueError:
            raise errors.RecordingNotFoundError from None

    @cached_property
    def link_id(self) -> UUID:
        """The link's id in the path; what is no UUID is no link's id."""
        try:
            return UUID(str(_mapping(self.event.get("pathParameters")).get("linkId")))
        except ValueError:
            raise errors.LinkNotFoundError from None

    @property
    def named_recording_id(self) -> UUID | None:
        """The id in the path, where the route has one."""
        return self.recording_id if "id" in _mapping(self.event.get("pathParameters")) else None

    @property
    def logged_recording_id(self) -> UUID | None:
        """The same for a log, which what is no UUID does not reach: that is anybody's text."""
        with suppress(errors.RecordingNotFoundError):
            return self.named_recording_id
        return None

    @cached_property
    def body(self) -> bytes:
        """The body's bytes, at most 64 KiB of them."""
        return self.body_up_to(MAXIMUM_BODY_BYTES)

    def body_up_to(self, maximum: int) -> bytes:
        """Return the body's bytes."""
        text = self.event.get("body") or ""
        if not isinstance(text, str) or len(text) > maximum * 2:
            raise errors.InvalidRequestError(("body", f"must be at most {maximum} bytes"))
        try:
            body = (
                base64.b64decode(text, validate=True) if self.event.get("isBase64Encoded") else text.encode()
            )
        except ValueError:
            raise errors.InvalidRequestError(("body", "is not valid")) from None
        if len(body) > maximum:
            raise errors.InvalidRequestError(("body", f"must be at most {maximum} bytes"))
        return body

    def query(self, *known: str) -> Mapping[str, str]:
        """Return the query's parameters, of which each may come once."""
        pairs = parse_qsl(str(self.event.get("rawQueryString") or ""), keep_blank_values=True)
        parameters: dict[str, str] = {}
        for name, value in pairs:
            if name not in known:
                raise errors.InvalidRequestError((name, "is not a parameter of this call"))
            if name in parameters:
                raise errors.InvalidRequestError((name, "must be given once"))
            if not printable(value):
                raise errors.InvalidRequestError((name, "must not contain control characters"))
            parameters[name] = value
        return parameters

    def header(self, name: str) -> str | None:
        """Return a header's value; API Gateway gives their names in lower case."""
        value = _mapping(self.event.get("headers")).get(name.lower())
        return value if isinstance(value, str) else None

    @property
    def wait(self) -> int:
        """How many seconds the caller is willing to wait; a wish that cannot be read is none (RFC 7240)."""
        return seconds_to_wait(self.header("prefer") or "")

    def wait_granted(self, waited: Waited) -> dict[str, str]:
        """Return the header that tells a caller who wished to wait that this was granted (RFC 7240)."""
        granted = self.wait and waited.granted
        return {"Preference-Applied": f"wait={min(self.wait, MAXIMUM_WAIT_SECONDS)}"} if granted else {}

    @property
    def idempotency_key(self) -> str | None:
        """The caller's idempotency key."""
        key = self.header("idempotency-key")
        if key is None:
            return None
        if not 0 < len(key) <= MAXIMUM_KEY_LENGTH or not (key.isascii() and key.isprintable()):
            message = f"must be 1 to {MAXIMUM_KEY_LENGTH} printable ASCII characters"
            raise errors.InvalidRequestError(("Idempotency-Key", message))
        return key

    @property
    def public_url(self) -> str:
        """The address under which this API is reached, without a slash at its end."""
        configured = current().api_settings.public_url
        if configured:
            return configured
        scheme = "http" if self.header("x-forwarded-proto") == "http" else "https"
        stage = str(self._context.get("stage", "$default"))
        path = "" if stage == "$default" else f"/{stage}"
        return f"{scheme}://{self._context.get('domainName')}{path}"

    @property
    def id(self) -> str:
        """API Gateway's id of this request."""
        return str(self._context.get("requestId", ""))

    @property
    def _context(self) -> Mapping[str, object]:
        return _mapping(self.event.get("requestContext"))

    def require_scope(self) -> None:
        """Raise ForbiddenError unless the token has the scope, or the claim=value, that this function requires."""
        required = current().api_settings.required_scope
        if not required or has_scope(self.claims, required):
            return
        path, is_claim, value = required.partition("=")
        if not (is_claim and has_claim(self._token, path, value)):
            raise errors.ForbiddenError(f"the token lacks {required}")

    def require_room(self, room_name: str) -> None:
        """Raise ForbiddenError unless each of the configured room claims of the token allows this room.

        `*` says that every token may record every room. Without a setting, none may record any.
        """
        paths = current().api_settings.room_claim
        if paths == "*":
            return
        if not paths or not all(allows_room(self._token, path, room_name) for path in paths.split(",")):
            raise errors.ForbiddenError("the token does not allow recording this room")

    @cached_property
    def _token(self) -> Mapping[str, object]:
        return claims_in(self.header("authorization") or "", self.user_id)


def _mapping(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def endpoint(handle: Callable[[Request], Answer]) -> Callable[[Event, LambdaContext], Answer]:
    """Make a Lambda handler of a function that answers a request of a user."""

    def authorized(request: Request) -> Answer:
        # A caller who is not known gets no answer that depends on anything else.
        if request.user_id:
            request.require_scope()
        return handle(request)

    return public_endpoint(authorized)


def public_endpoint(handle: Callable[[Request], Answer]) -> Callable[[Event, LambdaContext], Answer]:
    """Make a Lambda handler of a function that checks by itself who calls."""

    @wraps(handle)
    @log.logger.inject_lambda_context(correlation_id_path="requestContext.requestId")
    def lambda_handler(event: Event, context: LambdaContext) -> Answer:
        request = Request(event)
        try:
            with all_within(context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS):
                return handle(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            _report(error, request)
            return error_answer(error, request)

    return lambda_handler


def answer(status: HTTPStatus, body: Mapping[str, object], **headers: str) -> Answer:
    """Return an answer in API Gateway's payload format 2.0."""
    return {
        "statusCode": status.value,
        "headers": {**HEADERS, **headers},
        "body": json.dumps(body, separators=(",", ":"), ensure_ascii=False),
    }


def text_answer(text: str, media_type: str, request: Request) -> Answer:
    """Return an answer that is no JSON, zipped where the caller takes that."""
    headers = {**HEADERS, "Content-Type": media_type, "Vary": "accept-encoding"}
    accepted = (each.partition(";") for each in (request.header("accept-encoding") or "").split(","))
    if all(name.strip() != "gzip" or parameters.strip() == "q=0" for name, _, parameters in accepted):
        return {"statusCode": HTTPStatus.OK.value, "headers": headers, "body": text}
    zipped = zlib.compress(text.encode(), level=1, wbits=zlib.MAX_WBITS | 16)
    return {
        "statusCode": HTTPStatus.OK.value,
        "headers": {**headers, "Content-Encoding": "gzip"},
        "body": base64.b64encode(zipped).decode(),
        "isBase64Encoded": True,
    }


def error_answer(error: Exception, request: Request) -> Answer:
    """Return the answer for what went wrong; the text of an error that nobody raised on purpose is not in it."""
    status, code = _status_and_code(error)
    text = "internal error" if status is HTTPStatus.INTERNAL_SERVER_ERROR else str(error)
    body: ErrorJson = {"error": text, "code": code, "requestId": request.id}
    if isinstance(error, errors.InvalidRequestError):
        body["details"] = [{"field": field, "message": message} for field, message in error.details]
    if isinstance(error, errors.RecordingInProgressError) and error.recording_id is not None:
        body["recordingId"] = str(error.recording_id)
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return answer(status, cast("Mapping[str, object]", body), **retry)


def code_of(error: Exception) -> str:
    """Return the code under which an error is answered."""
    return _status_and_code(error)[1]


def _status_and_code(error: Exception) -> tuple[HTTPStatus, str]:
    for kind, status, code in ERRORS:
        if isinstance(error, kind):
            return status, code
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal"


def _report(error: Exception, request: Request) -> None:
    status, code = _status_and_code(error)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    # A failure that passes by itself says nothing against a release: no alarm that takes one back watches it.
    reason = "database_busy" if isinstance(error, errors.DatabaseBusyError) else code
    count("RequestsFailed", reason=reason)
    recording_id = request.logged_recording_id
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        kind, where = type(error).__name__, place_of(error)
        log.error(Code.REQUEST_FAILED, recording_id=recording_id, reason=kind, where=where, **cause_of(error))
    else:
        log.warning(Code.REQUEST_FAILED, recording_id=recording_id, reason=reason, **cause_of(error))
