"""LiveKit: its key, a worker that can record, and on demand a recording of some seconds."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import jwt

from recorder.doctor.finding import failed, ok
from recorder.doctor.network import UnreachableError, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recorder.doctor.finding import Finding
    from recorder.doctor.network import Reply

_TOKEN_SECONDS: Final = 600
# LiveKit asks its workers for 20 to 24 s before it says that none has answered.
_WORKER_SECONDS: Final = 28.0
_RECORD_SECONDS: Final = 5.0
_ACTIVE_SECONDS: Final = 40.0
_UPLOAD_SECONDS: Final = 40.0
_PAUSE_SECONDS: Final = 1.0
_ENDED: Final = ("EGRESS_COMPLETE", "EGRESS_FAILED", "EGRESS_ABORTED", "EGRESS_LIMIT_REACHED")
_PAGE: Final = "https://example.com/"


class LiveKit(NamedTuple):
    """A LiveKit server, called as its API is called in JSON."""

    url: str
    keys: Mapping[str, str]

    @property
    def address(self) -> str:
        """The address for HTTP, which is often given as that of the websocket."""
        return f"http{self.url.removeprefix('http').removeprefix('ws').rstrip('/')}"

    def call(self, method: str, request: Mapping[str, object], *, seconds: float = 10.0) -> Reply:
        """Call a method of the egress service. Raises UnreachableError."""
        now = int(time.time())
        claims = {
            "iss": self.keys["api_key"],
            "nbf": now - 10,
            "exp": now + _TOKEN_SECONDS,
            "video": {"roomRecord": True},
        }
        token = jwt.encode(claims, self.keys["api_secret"], algorithm="HS256")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"{self.address}/twirp/livekit.Egress/{method}"
        return ask("POST", url, headers, json.dumps(request).encode(), seconds=seconds)


def key(livekit: LiveKit) -> Iterator[Finding]:
    """Check that LiveKit answers, and takes the key."""
    check = "LiveKit"
    try:
        reply = livekit.call("ListEgress", {"active": True})
    except UnreachableError as error:
        yield failed(
            check, f"{livekit.address} cannot be reached: {error}", "LiveKitUrl, or the functions' way out"
        )
        return
    match reply.status:
        case HTTPStatus.OK:
            yield ok(check, f"{livekit.address} takes the key")
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            yield failed(
                check,
                "it refuses the key",
                "LiveKitSecretArn must hold `api_key` and `api_secret` of this server",
            )
        case status:
            yield failed(
                check, f"{livekit.address} answers {status}", "LiveKitUrl must be that of a LiveKit server"
            )


def worker(livekit: LiveKit) -> Iterator[Finding]:
    """Check that an egress worker would take a start, by one that every worker refuses: it has no output.

    Nothing is recorded. LiveKit itself looks at no options, so a refusal comes from a worker.
    """
    check = "egress worker"
    try:
        reply = livekit.call("StartWebEgress", {"url": _PAGE}, seconds=_WORKER_SECONDS)
    except UnreachableError as error:
        yield failed(check, f"LiveKit does not answer a start: {error}", "its log, and that of the workers")
        return
    match reply.status:
        case HTTPStatus.BAD_REQUEST:
            yield ok(check, "one is registered, and free")
        case HTTPStatus.SERVICE_UNAVAILABLE:
            yield failed(
                check,
                "none is registered that could record a room now",
                "run livekit/egress with the same Redis as the server, and 4 processors for each room",
            )
        case status:
            yield failed(check, f"a start is answered {status}", "the log of LiveKit")


def record(livekit: LiveKit, outputs: Mapping[str, list[dict[str, object]]], page: str) -> Iterator[Finding]:
    """Have a worker record a page for some seconds and upload it, as it uploads every recording."""
    check = "recording"
    request = {"url": page, **outputs}
    try:
        started = livekit.call("StartWebEgress", request, seconds=_WORKER_SECONDS)
        if started.status != HTTPStatus.OK:
            yield failed(check, f"a start is answered {started.status}", "the check of the worker")
            return
        egress_id = str(_info(started).get("egress_id"))
        info = _wait(livekit, egress_id, ("EGRESS_ACTIVE", *_ENDED), _ACTIVE_SECONDS)
        if info.get("status") == "EGRESS_ACTIVE":
            time.sleep(_RECORD_SECONDS)
        livekit.call("StopEgress", {"egress_id": egress_id}, seconds=20)
        info = _wait(livekit, egress_id, _ENDED, _UPLOAD_SECONDS)
    except UnreachableError as error:
        yield failed(check, f"LiveKit does not answer: {error}", "its log")
        return
    if info.get("status") == "EGRESS_COMPLETE":
        yield ok(check, "a worker records, and uploads with the rights that it has for every recording")
    else:
        code = info.get("error_code") or info.get("status")
        yield failed(
            check,
            f"it ends with {code}",
            "the worker's log; 400 is the bucket, or the right to write into it",
        )


def _wait(livekit: LiveKit, egress_id: str, wanted: tuple[str, ...], seconds: float) -> Mapping[str, object]:
    """Return what LiveKit lists of an egress once it has one of the statuses, or when the time is up."""
    until = time.monotonic() + seconds
    while True:
        items = _info(livekit.call("ListEgress", {"egress_id": egress_id})).get("items")
        info: Mapping[str, object] = items[0] if isinstance(items, list) and items else {}
        if info.get("status") in wanted or time.monotonic() > until:
            return info
        time.sleep(_PAUSE_SECONDS)


def _info(reply: Reply) -> Mapping[str, object]:
    value = reply.json()
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}
