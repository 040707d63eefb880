"""Logs and metrics. A log message is a stable code with ids: never a token, secret, header, body or link."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from recorder.untrusted import cleaned

if TYPE_CHECKING:
    from collections.abc import Mapping


class Code(StrEnum):
    """Every message that this product logs; docs/operations.md says what to do about each."""

    STARTED = "STARTED"
    STARTED_UNSTORED = "STARTED_UNSTORED"
    START_REFUSED = "START_REFUSED"
    START_UNANSWERED = "START_UNANSWERED"
    STOP_UNANSWERED = "STOP_UNANSWERED"
    STATUS_CHANGED = "STATUS_CHANGED"
    DELETED = "DELETED"
    OBJECTS_NOT_REMOVED = "OBJECTS_NOT_REMOVED"
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
    DATABASE_CREDENTIALS_UNREADABLE = "DATABASE_CREDENTIALS_UNREADABLE"
    DATABASE_TLS_FAILED = "DATABASE_TLS_FAILED"
    DATABASE_UNREACHABLE = "DATABASE_UNREACHABLE"
    STATEMENT_REFUSED = "STATEMENT_REFUSED"
    DATABASE_LOGIN_REFUSED = "DATABASE_LOGIN_REFUSED"
    RECORDING_CONTENDED = "RECORDING_CONTENDED"
    REQUEST_FAILED = "REQUEST_FAILED"
    LIST_UNANSWERED = "LIST_UNANSWERED"
    SETTLE_POSTPONED = "SETTLE_POSTPONED"
    GIVEN_UP = "GIVEN_UP"
    ORPHAN = "ORPHAN"
    SURVIVOR = "SURVIVOR"
    SECOND_EGRESS = "SECOND_EGRESS"
    EVENTS_NOT_PUBLISHED = "EVENTS_NOT_PUBLISHED"
    EVENTS_REFUSED = "EVENTS_REFUSED"
    SWEEP_FAILED = "SWEEP_FAILED"
    SWEEP_POSTPONED = "SWEEP_POSTPONED"
    SWEPT = "SWEPT"
    MIGRATED = "MIGRATED"
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
