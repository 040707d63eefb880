"""One HTTP request with all of its answer, and the cause in plain words where there is none.

`recorder.outbound` tells no headers, which the doctor looks at, and needs no redirects.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final, NamedTuple

from recorder.outbound import tls_context
from recorder.telemetry import cause_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS: Final = 10.0
_MOST_BYTES: Final = 1024 * 1024
_WORDS: Final = {
    "name_not_found": "its name cannot be resolved",
    "connection_refused": "nothing listens there",
    "unreachable": "there is no way to it",
    "timed_out": "no answer in time: a firewall, a security group, or no route",
    "connection_lost": "it closes the connection",
    "certificate_refused": "its certificate is not trusted",
    "tls_failed": "it speaks no TLS that Python accepts",
    "aws_refused": "AWS refuses",
    "secret_incomplete": "the secret lacks a field",
    "postgres_refused": "Postgres refuses",
}
"""For the causes that docs/operations.md explains."""


class UnreachableError(Exception):
    """There is no answer; the text says why, and is fit for an operator's eyes."""


class Reply(NamedTuple):
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Return its status only: nothing else of an answer is to be in a log."""
        return f"Reply({self.status})"

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
    """Return why something outside did not answer, in plain words without secrets."""
    # urllib wraps what it meets, and names it as the reason.
    reason: object = getattr(error, "reason", None)
    facts = cause_of(reason if isinstance(reason, Exception) else error)
    words = _WORDS.get(facts["cause"], facts["error"])
    told = facts.get("tls") or facts.get("aws") or facts.get("field") or facts.get("state")
    return f"{words} ({told})" if told else words
