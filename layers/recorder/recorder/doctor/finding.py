"""The doctor's findings: one line for each check."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It cannot be told from where the doctor is."""


class Finding(NamedTuple):
    """The result of one check, in plain words without secrets, and the remedy."""

    check: str
    verdict: Verdict
    says: str
    advice: str = ""

    def line(self) -> str:
        """Return the finding for a terminal."""
        advice = f" -> {self.advice}" if self.advice else ""
        return f"{self.verdict:<7}  {self.check}: {self.says}{advice}"


def ok(check: str, says: str) -> Finding:
    """Return a finding that needs nobody."""
    return Finding(check, Verdict.OK, says)


def failed(check: str, says: str, advice: str) -> Finding:
    """Return a finding that somebody has to act on."""
    return Finding(check, Verdict.FAILED, says, advice)


def unknown(check: str, says: str, advice: str) -> Finding:
    """Return a finding that somebody has to look at elsewhere."""
    return Finding(check, Verdict.UNKNOWN, says, advice)
