"""The composition root: the only module that names concrete adapters.

Everything is made at its first use and kept while the environment is warm. Adapters are imported where they are
made: a function pays at cold start for those that it uses.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Final

from recorder.ahead import CONNECTION, LIVEKIT_SECRET, report_secret
from recorder.errors import AwsError, EgressNotAskedError
from recorder.settings import (
    ApiSettings,
    AwsSettings,
    EventSettings,
    HintSettings,
    LiveKitSettings,
    PageSettings,
    StorageSettings,
    UploadSettings,
    policy_from_environment,
)
from recorder.usecases.ports import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recorder.domain.schedule import Policy
    from recorder.postgres.database import Database
    from recorder.sweep.sweep import Sweep
    from recorder.usecases.ledger import Ledger
    from recorder.usecases.playback import LivePlaylists
    from recorder.usecases.ports import Egress, Events, Hints, Links, Listing, Recordings, Storage, Waits
    from recorder.usecases.recordings import RecordingService
    from recorder.usecases.sharing import Sharing
    from recorder.usecases.takes import Takes


class Environment:
    """An execution environment of Lambda: each property is made once. Tests assign the ones that they replace."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()

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
            report_secret("LIVEKIT_SECRET_ARN", error)
            raise EgressNotAskedError("LiveKit's key cannot be read") from error

    @cached_property
    def repository(self) -> Recordings:
        """The tables."""
        from recorder.contract.event import event_json
        from recorder.postgres.repository import Repository

        emits = bool(EventSettings.from_environment().bus_name)
        return Repository(self._database, event_json=event_json if emits else None)

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


def _secret_of_egress(arn: str) -> Mapping[str, str]:
    from recorder.aws.calls import secret

    try:
        return secret(AwsSettings.from_environment(), arn, "access_key", "secret")
    except AwsError as error:
        report_secret("EGRESS_S3_SECRET_ARN", error)
        raise EgressNotAskedError("the egress workers' key cannot be read") from error
