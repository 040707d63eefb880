"""The files with which a server speaks TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and its key, and the authorities by which clients verify it: PEM files."""

    file: Path
    key: Path
    authorities: Path
