"""The composition root: the only module that names adapters.

Everything is made at its first use and kept while the environment is warm. Adapters are imported where they are
made: a function pays at cold start for those that it uses. Importing this module takes little, since a function calls
`expect_database` before its other imports; and what the thread behind it needs is imported by the caller, since two
threads that import at once wait for each other.
"""

from __future__ import annotations

import gc
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Final

from recorder.ahead import Ahead
from recorder.errors import AwsError, EgressNotAskedError, SecretIncompleteError
from recorder.settings import (
    ApiSettings,
    AwsSettings,
    DatabaseSettings,
    EventSettings,
    HintSettings,
    LiveKitSettings,
    PageSettings,
    StorageSettings,
    UploadSettings,
    policy_from_environment,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recorder.domain.schedule import Policy
    from recorder.postgres.database import Database
    from recorder.postgres.login import Connection
    from recorder.sweep.sweep import Sweep
    from recorder.usecases.ledger import Ledger
    from recorder.usecases.playback import LivePlaylists
    from recorder.usecases.ports import (
        Clock,
        Egress,
        Events,
        Hints,
        Links,
        Listing,
        Recordings,
        Storage,
        Waits,
    )
    from recorder.usecases.recordings import RecordingService
    from recorder.usecases.sharing import Sharing
    from recorder.usecases.takes import Takes

_OBJECTS: Final = 50_000
"""New objects after which Python looks for cyclic garbage. After 2,000, as by default, it does so twenty to forty times
while a function is imported, which makes objects that stay: 15 of 160 ms of a cold start."""


class Environment:
    """An execution environment of Lambda: each property is made once. Tests assign the ones that they replace."""

    @cached_property
    def clock(self) -> Clock:
        """The time."""
        from recorder.usecases.ports import Clock

        return Clock()

    @cached_property
    def policy(self) -> Policy:
        """The limits."""
        return policy_from_environment()

    @cached_property
    def api_settings(self) -> ApiSettings:
        """The rights of callers, and the address of the API."""
        return ApiSettings.from_environment()

    @cached_property
    def page_settings(self) -> PageSettings:
        """The web pages that may be recorded."""
        return PageSettings.from_environment()

    @cached_property
    def storage_settings(self) -> StorageSettings:
        """The bucket, and the name of this deployment."""
        return StorageSettings.from_environment()

    @cached_property
    def upload_settings(self) -> UploadSettings:
        """How LiveKit's workers write into the bucket, and the page that they record."""
        return UploadSettings.from_environment()

    @cached_property
    def livekit_keys(self) -> Mapping[str, str]:
        """LiveKit's `api_key` and `api_secret`. Raises EgressNotAskedError."""
        try:
            return LIVEKIT_SECRET.take()
        except AwsError as error:
            _report_secret("LIVEKIT_SECRET_ARN", error)
            raise EgressNotAskedError("LiveKit's key cannot be read") from error

    @cached_property
    def repository(self) -> Recordings:
        """The tables."""
        from recorder.postgres.repository import Repository

        if not EventSettings.from_environment().bus_name:
            return Repository(self._database, event_json=None)
        from recorder.contract.event import event_json

        return Repository(self._database, event_json=event_json)

    @cached_property
    def waits(self) -> Waits:
        """The requests that wait."""
        from recorder.postgres.waits import PostgresWaits

        return PostgresWaits(self._database)

    @cached_property
    def _database(self) -> Database:
        from recorder.postgres.database import Database

        return Database(CONNECTION.take)

    @cached_property
    def storage(self) -> Storage:
        """The bucket."""
        from recorder.aws.storage import S3Storage

        return S3Storage(self.storage_settings.bucket, AwsSettings.from_environment())

    @cached_property
    def events(self) -> Events | None:
        """The event bus, if there is one."""
        from recorder.aws.events import EventBridge

        bus_name = EventSettings.from_environment().bus_name
        return EventBridge(bus_name, AwsSettings.from_environment()) if bus_name else None

    @cached_property
    def hints(self) -> Hints:
        """The functions that go on with a recording."""
        from recorder.aws.hints import LambdaHints

        return LambdaHints(HintSettings.from_environment(), AwsSettings.from_environment())

    @cached_property
    def takes(self) -> Takes:
        """The use cases of takes."""
        from recorder.usecases.takes import Takes

        return Takes(self)

    @cached_property
    def listing(self) -> Listing:
        """LiveKit's listing of single egress, without livekit-api. Raises EgressNotAskedError."""
        from recorder.livekit.lookup import EgressLookup

        keys = self.livekit_keys
        return EgressLookup(
            LiveKitSettings.from_environment().url,
            api_key=keys["api_key"],
            api_secret=keys["api_secret"],
            storage=self.storage_settings,
        )

    @cached_property
    def egress(self) -> Egress:
        """LiveKit's egress and rooms. Raises EgressNotAskedError."""
        from recorder.livekit.client import connect
        from recorder.livekit.egress import LiveKitEgress

        url, upload, keys = LiveKitSettings.from_environment().url, self.upload_settings, self.livekit_keys
        return LiveKitEgress(
            lambda: connect(url, keys["api_key"], keys["api_secret"]),
            api_key=keys["api_key"],
            storage=self.storage_settings,
            upload=upload,
            upload_credentials=_secret_of_egress(upload.secret_arn) if upload.secret_arn else None,
        )

    @cached_property
    def recordings(self) -> RecordingService:
        """The use cases."""
        from recorder.usecases.recordings import RecordingService

        return RecordingService(self)

    @cached_property
    def live_playlists(self) -> LivePlaylists:
        """The use case of live playlists."""
        from recorder.usecases.playback import LivePlaylists

        return LivePlaylists(self, self.links)

    @cached_property
    def links(self) -> Links:
        """The links to recordings."""
        from recorder.postgres.links import PostgresLinks

        return PostgresLinks(self._database)

    @cached_property
    def sharing(self) -> Sharing:
        """The use cases of links."""
        from recorder.usecases.sharing import Sharing

        return Sharing(self, self.links)

    @cached_property
    def ledger(self) -> Ledger:
        """Every change of a stored recording."""
        from recorder.usecases.ledger import Ledger

        return Ledger(self)

    @cached_property
    def sweep(self) -> Sweep:
        """The sweep."""
        from recorder.sweep.sweep import Sweep

        return Sweep(self)


# On Lambda a process is one environment. A program that plays Lambda with several in one process sets one of them.
environment: Final = ContextVar("environment", default=Environment())  # noqa: B039 - the process's own


def current() -> Environment:
    """Return the execution environment that this code runs in."""
    return environment.get()


def recordings() -> RecordingService:
    """Return the use cases, wired for this environment."""
    return current().recordings


def expect_database() -> None:
    """Begin to connect to Postgres: each function that needs it calls this before its other imports.

    From here on Python looks for garbage less often.
    """
    gc.set_threshold(_OBJECTS)
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
        _report_secret("DATABASE_SECRET_ARN", error)
        raise


def _connection() -> Connection:
    login = database_login()
    from recorder.postgres.login import open_connection

    return open_connection(*login)


def _livekit_secret() -> Mapping[str, str]:
    from recorder.aws.calls import secret

    arn = LiveKitSettings.from_environment().secret_arn
    return secret(AwsSettings.from_environment(), arn, "api_key", "api_secret")


def _secret_of_egress(arn: str) -> Mapping[str, str]:
    from recorder.aws.calls import secret

    try:
        return secret(AwsSettings.from_environment(), arn, "access_key", "secret")
    except AwsError as error:
        _report_secret("EGRESS_S3_SECRET_ARN", error)
        raise EgressNotAskedError("the egress workers' key cannot be read") from error


def _report_secret(setting: str, error: AwsError) -> None:
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
