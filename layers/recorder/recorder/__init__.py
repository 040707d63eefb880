"""Server-side recording for LiveKit.

For other Lambda code of the team::

    from recorder import StartRequest, recordings

    started = recordings().start(StartRequest(room_name="demo"), user_id="alice")
    stopped = recordings().stop_and_wait(started.recording_id, user_id="alice", wait=20).recording

`recordings()` reads the environment as the functions of this application do (README, Configuration) and returns
the `RecordingService` that their handlers call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from recorder.bootstrap import recordings
    from recorder.contract.requests import StartRequest
    from recorder.domain.links import Media
    from recorder.domain.recording import Recording, Status
    from recorder.errors import RecorderError
    from recorder.usecases.ports import Page
    from recorder.usecases.recordings import RecordingService, Started
    from recorder.usecases.waiting import Waited

__all__ = [
    "Media",
    "Page",
    "RecorderError",
    "Recording",
    "RecordingService",
    "StartRequest",
    "Started",
    "Status",
    "Waited",
    "recordings",
]

_HOMES: Final = {
    "Media": "domain.links",
    "Page": "usecases.ports",
    "RecorderError": "errors",
    "Recording": "domain.recording",
    "RecordingService": "usecases.recordings",
    "StartRequest": "contract.requests",
    "Started": "usecases.recordings",
    "Status": "domain.recording",
    "Waited": "usecases.waiting",
    "recordings": "bootstrap",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, and only that: a function that reads must not pay for pydantic."""
    if name not in _HOMES:
        raise AttributeError(name)
    home: object = import_module(f".{_HOMES[name]}", __name__)
    return getattr(home, name)
