"""Child processes that never outlive the process that started them, however that one ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Self

from local.processes import watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

LOOPBACK = "127.0.0.1"


class LocalStackError(Exception):
    """Something that the person at the keyboard can mend; its text says what and how."""


def free_port() -> int:
    """Return a loopback port that nothing listens on now."""
    with claimed_port() as port:
        return port


@contextlib.contextmanager
def claimed_port(preferred: int = 0) -> Iterator[int]:
    """Give a loopback port that nothing listens on, the preferred one if that is free.

    No other stack on this machine is given it until the block is left, by when its server should listen.
    """
    # Below the range from which the kernel takes the ports of outgoing connections.
    candidates = [preferred] if preferred else []
    candidates += (10_000 + secrets.randbelow(20_000) for _ in range(100))
    with contextlib.ExitStack() as claims:
        for port in candidates:
            claim = claims.enter_context(socket.socket(socket.AF_UNIX))
            try:
                # A name without a file, which goes with the socket.
                claim.bind(f"\0recorder-port-{port}")
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((LOOPBACK, port))
            except OSError:
                continue
            yield port
            return
    raise LocalStackError("No free TCP port was found on this machine.")


def listens(port: int) -> bool:
    """Tell whether something accepts TCP connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


class Process:
    """A running child in a session of its own, so that whatever it starts ends with it."""

    def __init__(
        self,
        name: str,
        popen: subprocess.Popen[bytes],
        log: Path,
        stop_signal: signal.Signals,
        ended: Callable[[int], None],
        *,
        essential: bool,
    ) -> None:
        self.name = name
        self.essential = essential
        self.log = log
        self._popen = popen
        self._stop_signal = stop_signal
        self._ended = ended

    @property
    def pid(self) -> int:
        """The process id, which is the id of its session too."""
        return self._popen.pid

    def running(self) -> bool:
        """Tell whether the process still runs."""
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = 30) -> None:
        """Return once `ready` is true; raise LocalStackError if the process ends before, or time is up."""
        deadline = time.monotonic() + seconds
        while True:
            if not self.running():
                raise LocalStackError(f"{self.name} did not start.\n{self.log_tail()}")
            if ready():
                return
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"{self.name} was not ready within {seconds:.0f} seconds.\n{self.log_tail()}"
                )
            time.sleep(0.02)

    def log_tail(self, lines: int = 15) -> str:
        """Return the end of what the process printed, headed by the log file's path."""
        with contextlib.suppress(FileNotFoundError):
            text = self.log.read_text(errors="replace").splitlines()[-lines:]
            return "\n".join([f"The end of {self.log}:", *(f"  {line}" for line in text)])
        return ""

    def stop(self, *, seconds: float = 10) -> None:
        """End the process and all that it started; safe to call twice."""
        if self.running() and self._stop_signal is not signal.SIGKILL:
            self._popen.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(seconds)
        watchdog.kill_session(self.pid)
        self._popen.wait()
        self._ended(self.pid)


class Processes:
    """Starts children; all of them end when the block is left, or when this process dies without leaving it.

    `keep_open` are file descriptors (of lock files) to be held until the last child is gone.
    """

    def __init__(self, logs: Path, *, keep_open: Iterable[int] = ()) -> None:
        self._logs = logs
        self._keep_open = tuple(keep_open)
        self._children: list[Process] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
            pass_fds=self._keep_open,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.stop()
        self._stdin().close()
        self._watchdog.wait()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        log: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        essential: bool = True,
    ) -> Process:
        """Start a child whose output is appended to `log`, by default `<logs>/<name>.log`.

        The rest cannot go on without an essential one: `ended` tells when it has ended.
        """
        log = log or self._logs / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command,
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        child = Process(name, popen, log, stop_signal, self._forget, essential=essential)
        with self._lock:
            self._tell(f"+{child.pid} {stop_signal.value}")
            self._children.append(child)
        return child

    def named(self, name: str) -> Process:
        """Return a child that runs under this name."""
        with self._lock:
            return next(child for child in self._children if child.name == name)

    def ended(self) -> Process | None:
        """Return an essential child that ended without being stopped, if there is one."""
        with self._lock:
            return next((child for child in self._children if child.essential and not child.running()), None)

    def _forget(self, pid: int) -> None:
        with self._lock:
            self._tell(f"-{pid}")
            self._children = [child for child in self._children if child.pid != pid]

    def _tell(self, line: str) -> None:
        self._stdin().write(f"{line}\n".encode())
        self._stdin().flush()

    def _stdin(self) -> IO[bytes]:
        if self._watchdog.stdin is None:
            raise RuntimeError("the watchdog has no pipe")
        return self._watchdog.stdin


def inherited_environment(**extra: str) -> dict[str, str]:
    """Return the little of this process's environment that a tool needs, and `extra`."""
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    return {**{name: os.environ[name] for name in names if name in os.environ}, **extra}
