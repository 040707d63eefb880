"""The directory that holds a stack's state, for one stack at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import IO, TYPE_CHECKING

from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How long the watchdog of a killed stack may take to end its processes.
_PATIENCE_SECONDS = 15


def running(directory: Path) -> int | None:
    """Return the process id of the stack that runs on a directory, or None."""
    try:
        with (directory / "runner.lock").open() as file:
            return None if _take(file) else int(file.read())
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[int]:
    """Hold a directory, made if it is absent, and give a descriptor to be held by all that writes there.

    Raises LocalStackError if another stack holds it. The locks end with the processes that have them, so nothing is
    left of them after a crash.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "runner.lock").open("a+") as runner, (directory / "lock").open("a") as everyone:
        if not _take(runner):
            runner.seek(0)
            owner = runner.read()
            raise LocalStackError(
                f"The stack in {directory} runs already (process {owner}). "
                f"End it with Ctrl-C where it runs, or with: kill {owner}"
            )
        runner.truncate(0)
        runner.write(str(os.getpid()))
        runner.flush()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _take(everyone):
            if time.monotonic() > deadline:
                raise LocalStackError(f"Processes of an earlier stack in {directory} do not end.")
            time.sleep(0.05)
        yield everyone.fileno()


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
