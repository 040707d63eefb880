"""Logs and metrics. A log message is a stable code with ids: never a token, secret, header, body or link."""

from __future__ import annotations

import errno
import socket
import ssl
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from recorder.errors import AwsError, SecretIncompleteError
from recorder.untrusted import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The first class that fits counts.
_NETWORK: Final[tuple[tuple[type[OSError], str], ...]] = (
    (socket.gaierror, "name_not_found"),
    (TimeoutError, "timed_out"),
    (ConnectionRefusedError, "connection_refused"),
    (ConnectionError, "connection_lost"),
)
_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH})


class Code(StrEnum):
    """Every message that this product logs; docs/operations.md says what to do about each."""

    STARTED = "STARTED"
    STARTED_UNSTORED = "STARTED_UNSTORED"
    START_REFUSED = "START_REFUSED"
    START_UNANSWERED = "START_UNANSWERED"
    STOP_UNANSWERED = "STOP_UNANSWERED"
    LOOKUP_UNANSWERED = "LOOKUP_UNANSWERED"
    STATUS_CHANGED = "STATUS_CHANGED"
    DELETED = "DELETED"
    LINK_CREATED = "LINK_CREATED"
    LINK_REVOKED = "LINK_REVOKED"
    OBJECTS_NOT_REMOVED = "OBJECTS_NOT_REMOVED"
    EGRESS_ENDED_BADLY = "EGRESS_ENDED_BADLY"
    FILE_ELSEWHERE = "FILE_ELSEWHERE"
    FILE_NOT_INSPECTED = "FILE_NOT_INSPECTED"
    EGRESS_STATUS_UNKNOWN = "EGRESS_STATUS_UNKNOWN"
    WEBHOOK_OF_NO_RECORDING = "WEBHOOK_OF_NO_RECORDING"
    WEBHOOK_REJECTED = "WEBHOOK_REJECTED"
    RECORDING_UNREADABLE = "RECORDING_UNREADABLE"
    FOREIGN_OBJECT = "FOREIGN_OBJECT"
    ROW_REFUSED = "ROW_REFUSED"
    DATABASE_BUSY = "DATABASE_BUSY"
    DATABASE_CERTIFICATE_REFUSED = "DATABASE_CERTIFICATE_REFUSED"
    DATABASE_CONNECTION_LOST = "DATABASE_CONNECTION_LOST"
    DATABASE_LOGIN_FAILED = "DATABASE_LOGIN_FAILED"
    DATABASE_NAME_UNKNOWN = "DATABASE_NAME_UNKNOWN"
    DATABASE_TLS_FAILED = "DATABASE_TLS_FAILED"
    DATABASE_UNREACHABLE = "DATABASE_UNREACHABLE"
    STATEMENT_REFUSED = "STATEMENT_REFUSED"
    DATABASE_LOGIN_REFUSED = "DATABASE_LOGIN_REFUSED"
    RECORDING_CONTENDED = "RECORDING_CONTENDED"
    CREDENTIALS_UNREADABLE = "CREDENTIALS_UNREADABLE"
    CREDENTIALS_INCOMPLETE = "CREDENTIALS_INCOMPLETE"
    REQUEST_FAILED = "REQUEST_FAILED"
    LIST_UNANSWERED = "LIST_UNANSWERED"
    SETTLE_POSTPONED = "SETTLE_POSTPONED"
    GIVEN_UP = "GIVEN_UP"
    TAKE_BEGUN = "TAKE_BEGUN"
    TAKE_REFUSED = "TAKE_REFUSED"
    RESCUE_GIVEN_UP = "RESCUE_GIVEN_UP"
    HINT_LOST = "HINT_LOST"
    ASSEMBLED = "ASSEMBLED"
    ASSEMBLING_FAILED = "ASSEMBLING_FAILED"
    COMPLETED_IN_PARTS = "COMPLETED_IN_PARTS"
    TAKE_LEFT_IN_SEGMENTS = "TAKE_LEFT_IN_SEGMENTS"
    ORPHAN = "ORPHAN"
    STILL_RUNNING = "STILL_RUNNING"
    SECOND_EGRESS = "SECOND_EGRESS"
    EVENTS_NOT_PUBLISHED = "EVENTS_NOT_PUBLISHED"
    EVENTS_REFUSED = "EVENTS_REFUSED"
    SWEEP_FAILED = "SWEEP_FAILED"
    SWEEP_POSTPONED = "SWEEP_POSTPONED"
    SWEPT = "SWEPT"
    CHECK_PASSED = "CHECK_PASSED"
    CHECK_NOT_PASSED = "CHECK_NOT_PASSED"
    MIGRATED = "MIGRATED"
    MIGRATION_WAITS = "MIGRATION_WAITS"
    MIGRATION_FAILED = "MIGRATION_FAILED"


NAMESPACE = "Recorder"


class Log:
    """Structured JSON through Powertools."""

    def __init__(self) -> None:
        # The line that logs is always one of the three below.
        self.logger = Logger(location=None)

    def info(self, code: Code, **facts: object) -> None:
        """Log what happened."""
        self.logger.info(code.value, extra=_plain(facts))

    def warning(self, code: Code, **facts: object) -> None:
        """Log what may need a person if it goes on."""
        self.logger.warning(code.value, extra=_plain(facts))

    def error(self, code: Code, **facts: object) -> None:
        """Log what needs a person."""
        self.logger.error(code.value, extra=_plain(facts))


def _plain(facts: Mapping[str, object]) -> dict[str, object]:
    return {
        name: fact if isinstance(fact, (int, float, dict)) or fact is None else cleaned(str(fact))
        for name, fact in facts.items()
    }


log = Log()


def cause_of(error: BaseException) -> dict[str, str]:
    """Return what an operator must know of an error, for a log: `cause`, the class as `error`, and what belongs to it.

    The first error of the chain that tells a cause counts. docs/operations.md explains each; none holds a secret.
    """
    chain = list(_chain(error))
    for each in chain:
        if facts := _facts(each):
            return facts
    return {"cause": "unknown", "error": type(chain[-1]).__name__}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _facts(error: BaseException) -> dict[str, str]:
    """Return what one error of a chain tells, which may be nothing."""
    match error:
        case SecretIncompleteError():
            told = {"cause": "secret_incomplete", "field": str(error)}
        case AwsError() if error.type:
            told = {"cause": "aws_refused", "aws": error.type}
        case ssl.SSLCertVerificationError():
            told = {"cause": "certificate_refused", "tls": error.verify_message}
        case ssl.SSLError():
            told = {"cause": "tls_failed", "tls": error.reason or ""}
        case BaseException(args=[{"C": str(state)}, *_]):
            told = {"cause": "postgres_refused", "state": state}
        case OSError() if cause := _network_cause(error):
            told = {"cause": cause}
        case _:
            return {}
    return {**told, "error": type(error).__name__}


def _network_cause(error: OSError) -> str:
    if error.errno in _UNREACHABLE:
        return "unreachable"
    return next((cause for kind, cause in _NETWORK if isinstance(error, kind)), "")


def place_of(error: BaseException) -> str:
    """Return the line that raised: a traceback's text could quote what must not be logged."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else ""


def count(name: str, value: float = 1, *, unit: MetricUnit = MetricUnit.Count, **dimensions: str) -> None:
    """Emit one CloudWatch metric in the embedded format: by service, and by service and each of these dimensions."""
    service = log.logger.service
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
    metrics.add_metric(name, unit, value)
    for dimension, kind in dimensions.items():
        # CloudWatch sums up nothing by itself: an alarm on all of it needs a metric of its own.
        metrics.add_dimensions(service=service, **{dimension: kind})
    metrics.flush_metrics()
