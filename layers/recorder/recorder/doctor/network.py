"""One HTTP request, and the cause in plain words where there is no answer."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from recorder.outbound import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECONDS: Final = 10.0
_MOST_BYTES: Final = 1024 * 1024


class UnreachableError(Exception):
    """There is no answer; the text says why, and is fit for an operator's eyes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> object:
        """Return what the body holds, or None where it is no JSON."""
        try:
            value: object = json.loads(self.body)
        except ValueError:
            return None
        return value


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    seconds: float = SECONDS,
) -> Reply:
    """Send a request. Raises UnreachableError."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)  # noqa: S310
    context = tls_context() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=seconds, context=context) as answer:  # noqa: S310 - the
            # addresses are the deployment's own settings
            return Reply(answer.status, dict(answer.headers.items()), answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, dict(error.headers.items()), error.read(_MOST_BYTES))
    except (OSError, ValueError) as error:
        raise UnreachableError(cause(error)) from None


def cause(error: BaseException) -> str:
    """Return why a connection failed: the most telling of an error and of those that led to it."""
    chain = [*_chain(error)]
    for kind, words in (
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (ssl.SSLError, "TLS failed"),
        (socket.gaierror, "its name cannot be resolved"),
        (ConnectionRefusedError, "nothing listens there"),
        (ConnectionResetError, "the connection was cut"),
        (TimeoutError, "no answer in time: a firewall, a security group, or no route"),
    ):
        if found := next((each for each in chain if isinstance(each, kind)), None):
            return f"{words}{_detail(found)}"
    return type(chain[-1]).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        reason: object = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__


def _detail(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f" ({error.verify_message})"
        case ssl.SSLError():
            return f" ({error.reason})"
        case _:
            return ""
