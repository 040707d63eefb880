"""The LiveKit stand-in as a process of the stack."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from local.processes.children import LOOPBACK, Processes, claimed_port, inherited_environment, listens
from local.processes.environments import ROOT
from local.services.external import LiveKitServer

if TYPE_CHECKING:
    from pathlib import Path

API_KEY = "devkey"
API_SECRET = "a-local-secret-that-protects-nothing-at-all"  # noqa: S105 - as it says


def start(directory: Path, processes: Processes, *, port: int = 0, fast: bool = False) -> LiveKitServer:
    """Start the stand-in, on `port` if that is free, and return when it answers.

    `fast` takes a tenth of LiveKit's real delays.
    """
    with claimed_port(port) as claimed:
        process = processes.start(
            "livekit",
            [
                *(sys.executable, "-m", "livekit_standin"),
                *("--host", LOOPBACK, "--port", str(claimed)),
                *("--state-dir", str(directory)),
                *("--api-key", API_KEY, "--api-secret", API_SECRET),
                *("--timing", "fast" if fast else "real"),
            ],
            environment=inherited_environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1"),
            directory=ROOT,
        )
        process.wait_until(lambda: listens(claimed))
    return LiveKitServer(f"http://{LOOPBACK}:{claimed}", API_KEY, API_SECRET)
