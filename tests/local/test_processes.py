"""That nothing which was started stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from local.processes import state, watchdog
from local.processes.children import LOOPBACK, LocalStackError, Processes, claimed_port, free_port, listens
from local.processes.environments import ROOT
from local.processes.server import Server
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

# A child that ignores being asked to end, with a child in a process group of its own, as the emulator has one.
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], process_group=0)
print("ready", flush=True)
signal.pause()
"""

RUNNER = """
import signal, sys
from pathlib import Path
from local.processes import state
from local.processes.children import Processes
directory = Path(sys.argv[1])
with state.exclusive(directory) as lock, Processes(directory, keep_open=[lock]) as processes:
    child = processes.start("child", [sys.executable, "-c", sys.argv[2]])
    child.wait_until(lambda: "ready" in child.log.read_text())
    (directory / "session").write_text(str(child.pid))
    (directory / "session").rename(directory / "started")
    signal.pause()
"""


def test_stopping_ends_a_child_and_its_children(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("child", [sys.executable, "-c", STUBBORN], stop_signal=signal.SIGKILL)
        child.wait_until(lambda: "ready" in child.log.read_text())
        assert len(watchdog.members(child.pid)) == 2
    assert watchdog.members(child.pid) == []


def test_killing_the_runner_ends_everything_and_frees_the_directory(tmp_path: Path) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path), STUBBORN],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    eventually((tmp_path / "started").exists)
    session = int((tmp_path / "started").read_text())
    assert state.running(tmp_path) == runner.pid
    with (
        pytest.raises(LocalStackError, match=f"runs already .process {runner.pid}"),
        state.exclusive(tmp_path),
    ):
        pass
    runner.kill()
    runner.wait()
    # At once, while the watchdog is still at work: the lock is given when the last child is gone.
    with state.exclusive(tmp_path):
        assert watchdog.members(session) == []


def test_a_directory_nobody_runs_on_is_free(tmp_path: Path) -> None:
    assert state.running(tmp_path) is None
    with state.exclusive(tmp_path):
        assert state.running(tmp_path) == os.getpid()
    assert state.running(tmp_path) is None


def test_a_child_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("child", [sys.executable, "-c", "print('no room'); raise SystemExit(1)"])
        with pytest.raises(LocalStackError, match="child did not start") as error:
            child.wait_until(lambda: False)
    assert "no room" in str(error.value)


def test_a_child_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        assert processes.ended() is None
        processes.start("child", [sys.executable, "-c", "print('bye')"])
        eventually(lambda: processes.ended() is not None)
        assert processes.ended() is processes.named("child")


def test_a_preferred_port_is_given_only_where_it_is_free() -> None:
    preferred = free_port()
    with claimed_port(preferred) as first, claimed_port(preferred) as second:
        assert first == preferred
        assert second != preferred
    with Server() as server:
        server.listen(preferred=preferred)
        assert listens(preferred)
        assert server.listen(preferred=preferred).getsockname()[1] != preferred
        with claimed_port(preferred) as third:
            assert third != preferred
        with pytest.raises(LocalStackError, match=f"Port {preferred} cannot be used"):
            server.listen(preferred)


def test_an_exception_ends_what_is_being_waited_for() -> None:
    begun, outcome = threading.Event(), []

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.sleep(5)
            outcome.append("waited for")
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise

    def run() -> None:
        with Server() as server:
            # As its `run` does, before it waits for the result, which is what Ctrl-C interrupts.
            server._portal.start_task_soon(hang)
            begun.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert outcome == ["cancelled"]


def test_another_address_leads_to_loopback_and_no_other_does() -> None:
    other = "127.0.0.2"
    with Server() as server, socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        server.forward(other, port)
        with socket.create_connection((other, port), timeout=10) as client:
            service, _ = listener.accept()
            with service:
                client.sendall(b"question")
                assert service.recv(100) == b"question"
                service.sendall(b"answer")
                service.shutdown(socket.SHUT_WR)
                assert (client.recv(100), client.recv(100)) == (b"answer", b"")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.3", port), timeout=10)
        with pytest.raises(LocalStackError, match=f"Port {port} of {other} cannot be used"):
            server.forward(other, port)
        with pytest.raises(LocalStackError, match="BIND must be one address of this machine"):
            server.forward("203.0.113.1", port)


def test_a_service_that_is_gone_ends_its_connections_only() -> None:
    other = "127.0.0.2"
    with Server() as server:
        port = free_port()
        server.forward(other, port)
        with socket.create_connection((other, port), timeout=10) as client:
            assert client.recv(1) == b""
        with (
            socket.create_server((LOOPBACK, port)) as listener,
            socket.create_connection((other, port), timeout=10),
        ):
            listener.accept()[0].close()
