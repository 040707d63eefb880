"""The kinds of recording."""

from __future__ import annotations

from enum import StrEnum


class Source(StrEnum):
    """What is recorded."""

    ROOM_COMPOSITE = "room_composite"
    TRACK = "track"
