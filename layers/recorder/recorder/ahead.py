"""Work of a cold start that waits for the network, done while the code is still being imported.

Only an environment that Lambda starts because a request waits works ahead: a SnapStart snapshot must hold neither a
connection nor a key, and a connection of provisioned concurrency may be stale when it is needed. This module imports
little, so that the work is soon under way; and what the work needs is imported by the caller, since two threads that
import at once wait for each other.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final

from recorder.errors import AwsError, SecretIncompleteError
from recorder.settings import AwsSettings, DatabaseSettings, LiveKitSettings, RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recorder.postgres.login import Connection


class Ahead[T]:
    """A value that takes time to make: `begin` makes one in the background, `take` returns it, or a new one."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Begin to make the first value, where a request waits for this environment."""
        if RuntimeSettings.from_environment().on_demand:
            self._thread = Thread(target=self._run, daemon=True)
            self._thread.start()

    def take(self) -> T:
        """Return the value made ahead to the first caller, and a new one to every other.

        Raises what making it raises.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
            made, self._made = self._made, None
            if made is not None:
                return made
        return self._make()

    def _run(self) -> None:
        # Errors are dropped here: the first caller of `take` makes the value again and gets the error.
        with suppress(Exception):
            self._made = self._make()


def expect_database() -> None:
    """Begin to connect to Postgres: each function that needs it calls this before its other imports."""
    import recorder.aws.calls

    CONNECTION.begin()
    import recorder.postgres.login  # noqa: F401


def expect_livekit_secret() -> None:
    """Begin to read LiveKit's key, for a function that needs it for every request."""
    import recorder.aws.calls  # noqa: F401

    LIVEKIT_SECRET.begin()


def expect_livekit() -> None:
    """Do the same, and import what calls LiveKit: Lambda lends more processor to loading than to requests."""
    expect_livekit_secret()
    import recorder.livekit.egress  # noqa: F401


def _connection() -> Connection:
    login = database_login()
    from recorder.postgres.login import open_connection

    return open_connection(*login)


def database_login() -> tuple[DatabaseSettings, str]:
    """Return where the database is, and the password: read anew each time, so that a rotated one is taken up.

    Raises AwsError.
    """
    from recorder.aws.calls import database_token, secret

    settings, aws = DatabaseSettings.from_environment(), AwsSettings.from_environment()
    try:
        if settings.iam:
            return settings, database_token(aws, settings.host, settings.port, settings.user)
        return settings, secret(aws, settings.secret_arn, "password")["password"]
    except AwsError as error:
        report_secret("DATABASE_SECRET_ARN", error)
        raise


def _livekit_secret() -> Mapping[str, str]:
    from recorder.aws.calls import secret

    arn = LiveKitSettings.from_environment().secret_arn
    return secret(AwsSettings.from_environment(), arn, "api_key", "api_secret")


def report_secret(setting: str, error: AwsError) -> None:
    """Log that a secret cannot be read, and why; `setting` names its ARN."""
    from recorder.telemetry import Code, cause_of, log

    if isinstance(error, SecretIncompleteError):
        log.error(Code.CREDENTIALS_INCOMPLETE, setting=setting, **cause_of(error))
    else:
        log.error(Code.CREDENTIALS_UNREADABLE, setting=setting, **cause_of(error))


CONNECTION: Final = Ahead(_connection)
"""Connections to Postgres."""
LIVEKIT_SECRET: Final = Ahead(_livekit_secret)
"""LiveKit's key, read anew each time."""
