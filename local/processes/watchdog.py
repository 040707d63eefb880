"""Ends the stack's processes when the one that started them dies without doing so (kill -9, a crash).

Runs as a script of its own. Its standard input is a pipe that only the starter holds: `+PID SIGNAL` names a child that
leads a session, `-PID` one that is gone, and the end of input means that the starter is no more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

GRACE_SECONDS = 5


def members(session: int) -> list[int]:
    """Return the ids of the living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent group session ...: the name may hold spaces and parentheses
            state, _, _, process_session = stat.read_text(errors="replace").rpartition(")")[2].split()[:4]
            if int(process_session) == session and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def kill_session(session: int) -> None:
    """Kill every process of a session and return when none is left."""
    while remaining := members(session):
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def main() -> None:
    """Keep the list of children until the input ends, then end those that are left."""
    children: dict[int, int] = {}
    for line in sys.stdin:
        pid, _, stop_signal = line[1:].strip().partition(" ")
        if line.startswith("+"):
            children[int(pid)] = int(stop_signal)
        else:
            children.pop(int(pid), None)
    for pid, stop_signal in children.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, stop_signal)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(members(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in children:
        kill_session(pid)


if __name__ == "__main__":
    main()
