"""The answers of LiveKit's API: twirp errors, their codes and texts."""

from dataclasses import dataclass
from random import Random
from string import ascii_letters, digits

from google.protobuf.message import Message

_ID_ALPHABET = "".join(sorted(set(digits + ascii_letters) - set("01IOl")))


@dataclass(frozen=True, slots=True)
class TwirpError:
    """A refusal, as `{"code", "msg", "meta"?}` with an HTTP status."""

    code: str
    message: str
    status: int
    meta: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call, `after` ns; `lost` means that the answer never arrives at the caller."""

    outcome: Message | TwirpError
    after: int
    lost: bool = False


# LiveKit wraps most of its errors in one that has no code.
_PREFIX = "twirp error unknown: "


def not_found(text: str) -> TwirpError:
    """404."""
    return TwirpError("not_found", _PREFIX + text, 404)


def invalid_argument(text: str) -> TwirpError:
    """400."""
    return TwirpError("invalid_argument", _PREFIX + text, 400)


def failed_precondition(text: str) -> TwirpError:
    """412."""
    return TwirpError("failed_precondition", text, 412)


EGRESS_NOT_FOUND = not_found("egress does not exist")
HANDLER_NOT_FOUND = not_found("egress not found")
NOT_STREAMING = invalid_argument("UpdateStream called on non-streaming egress")
ROOM_NOT_FOUND = not_found("requested room does not exist")
PARTICIPANT_NOT_FOUND = not_found("participant does not exist")
NO_WORKER = TwirpError("unavailable", _PREFIX + "no response from servers", 503)
TIMED_OUT = TwirpError("deadline_exceeded", _PREFIX + "request timed out", 408)
REDIS_DOWN = TwirpError("unknown", "dial tcp 127.0.0.1:6379: connect: connection refused", 500)
SERVER_DOWN = TwirpError("unknown", "Bad Gateway", 502)
PERMISSION_DENIED = TwirpError("unauthenticated", "permissions denied", 401)
MALFORMED_JSON = TwirpError("malformed", "the json request could not be decoded", 400)
MALFORMED_PROTOBUF = TwirpError("malformed", "the protobuf request could not be decoded", 400)


def bad_route(path: str, text: str, method: str = "POST") -> TwirpError:
    """404 for a path, a method or a content type that twirp does not serve."""
    return TwirpError("bad_route", text, 404, (("twirp_invalid_route", f"{method} {path}"),))


def no_handler(path: str) -> TwirpError:
    """404 for a method that does not exist."""
    return bad_route(path, f'no handler for path "{path}"')


def new_id(prefix: str, random: Random) -> str:
    """Make an id as LiveKit does, such as EG_FX94V8f6Myva."""
    return prefix + "".join(random.choices(_ID_ALPHABET, k=12))
