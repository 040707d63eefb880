"""Logs and metrics of the functions, as CloudWatch gets them."""

from __future__ import annotations

import io
import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from recorder.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Logs:
    """Everything so far: structured lines, metrics, and what any library logged."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.lines = io.StringIO()
        self.others = io.StringIO()
        self._capsys = capsys
        self._printed = self._errors = ""

    @property
    def text(self) -> str:
        return self.lines.getvalue() + self.others.getvalue() + self.printed + self._errors

    @property
    def printed(self) -> str:
        # Lambda logs what goes to either; metrics go to the first.
        out, errors = self._capsys.readouterr()
        self._printed += out
        self._errors += errors
        return self._printed

    def all(self) -> list[dict[str, object]]:
        """Return all structured lines."""
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]

    def of(self, code: str) -> list[dict[str, object]]:
        """Return the lines with a code."""
        return [line for line in self.all() if line["message"] == code]

    def metrics(self, name: str) -> list[dict[str, object]]:
        """Return a metric's values with their dimensions, but for the service."""
        printed: list[dict[str, object]] = [json.loads(line) for line in self.printed.splitlines()]
        return [
            {
                dimension: cast("list[float]", value)[0] if dimension == name else value
                for dimension, value in metric.items()
                if dimension not in {"_aws", "service"}
            }
            for metric in printed
            if name in metric
        ]


@contextmanager
def captured(capsys: pytest.CaptureFixture[str]) -> Iterator[Logs]:
    logs = Logs(capsys)
    lines, others = logging.StreamHandler(logs.lines), logging.StreamHandler(logs.others)
    lines.setFormatter(log.logger.registered_formatter)
    own, root = logging.getLogger(log.logger.service), logging.getLogger()
    level = root.level
    own.addHandler(lines)
    root.addHandler(others)
    root.setLevel(logging.INFO)
    try:
        yield logs
    finally:
        root.setLevel(level)
        root.removeHandler(others)
        own.removeHandler(lines)
