"""The composition root: the only place that names concrete adapters.

Everything is made on first use and kept while the environment is warm. Nothing is made at import, so a SnapStart
snapshot holds neither a connection nor randomness.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache, wraps
from typing import TYPE_CHECKING, Final, Literal, cast

from . import aws
from .ahead import CONNECTION, Ahead
from .database import Database
from .egress_record import EgressRecord
from .errors import EgressUnansweredError, EgressUnavailableError
from .ports import Clock
from .repository import Repository
from .service import RecordingService
from .settings import (
    ApiSettings,
    AwsSettings,
    EventSettings,
    LiveKitSettings,
    StorageSettings,
    UploadSettings,
    policy_from_environment,
)
from .storage import S3Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.config import Config
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client

    from .domain import EgressSnapshot, Recording
    from .egress import LiveKitEgress
    from .ports import Egress, Storage
    from .reconciler import Reconciler


_CONNECT_SECONDS: Final = 2.0
_READ_SECONDS: Final = 5.0


class Environment:
    """An execution environment of Lambda: what was made in it is kept while it is warm."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.made: dict[str, object] = {}


# On Lambda a process is one environment. Whoever plays Lambda with several in one process enters one of them.
environment: Final = ContextVar("environment", default=Environment(Clock()))  # noqa: B039 - the process's own


def _kept[T](make: Callable[[], T]) -> Callable[[], T]:
    @wraps(make)
    def kept() -> T:
        made = environment.get().made
        if make.__name__ not in made:
            made[make.__name__] = make()
        return cast("T", made[make.__name__])

    return kept


class _Deferred[T]:
    """Stands in for an adapter that not every function needs or has the settings of, and makes it at its first use."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None

    def __getattr__(self, name: str) -> object:
        return cast("object", getattr(self._adapter(), name))

    def _adapter(self) -> T:
        if self._made is None:
            self._made = self._make()
        return self._made


class _Egress(_Deferred["LiveKitEgress"]):
    """LiveKit, to which a secret that cannot be read is as good as one that does not answer."""

    def start(self, recording: Recording, webhook_url: str | None) -> EgressSnapshot:
        """Start an egress, or refuse to: without the secret nothing was sent."""
        try:
            adapter = self._adapter()
        except aws.AwsError:
            raise EgressUnavailableError("LiveKit's key cannot be read now") from None
        return adapter.start(recording, webhook_url)

    def find(self, egress_id: str) -> EgressSnapshot:
        """Spare whoever needs no more than this the import of livekit-api."""
        try:
            return egress_record().find(egress_id)
        except aws.AwsError as error:
            raise EgressUnansweredError(type(error).__name__) from None

    def __getattr__(self, name: str) -> object:
        try:
            return super().__getattr__(name)
        except aws.AwsError as error:
            raise EgressUnansweredError(type(error).__name__) from None


def secret(arn: str) -> Mapping[str, str]:
    """Return a secret's JSON object, read anew at each call."""
    return aws.secret(AwsSettings.from_environment(), arn)


@cache
def expect_livekit_secret() -> Ahead[Mapping[str, str]]:
    """Begin to read LiveKit's key: for a function that needs it for every request to call when it is loaded."""
    return Ahead(lambda: secret(LiveKitSettings.from_environment().secret_arn))


def expect_livekit() -> None:
    """Do the same, and import what calls LiveKit: Lambda lends more processor to loading than to requests."""
    expect_livekit_secret()
    from . import egress  # noqa: F401, PLC0415


@_kept
def livekit_secret() -> Mapping[str, str]:
    """Return LiveKit's `api_key` and `api_secret`."""
    return expect_livekit_secret().take()


@_kept
def database() -> Database:
    """Return this environment's connection to Postgres."""
    return Database(CONNECTION.take)


@_kept
def repository() -> Repository:
    """Return the repository of this deployment."""
    return Repository(database(), emit_events=bool(EventSettings.from_environment().bus_name))


def _bounded() -> Config:
    from botocore.config import Config  # noqa: PLC0415 - see below

    # One retry: whoever waits for the answer has API Gateway's 30 seconds.
    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )


def _s3_client() -> S3Client:
    import boto3  # noqa: PLC0415 - 300 ms at cold start, and links need none
    from botocore.config import Config  # noqa: PLC0415

    # An endpoint of one's own is reached by path, as hardly one has a host name for each bucket.
    addressing: Literal["path", "auto"] = "path" if AwsSettings.from_environment().s3_endpoint_url else "auto"
    return boto3.client("s3", config=_bounded().merge(Config(s3={"addressing_style": addressing})))


def _events_client() -> EventBridgeClient:
    import boto3  # noqa: PLC0415 - see above

    return boto3.client("events", config=_bounded())


@_kept
def storage_settings() -> StorageSettings:
    """Return which bucket, and which deployment, this is."""
    return StorageSettings.from_environment()


@_kept
def storage() -> S3Storage:
    """Return the bucket of this deployment."""
    return S3Storage(storage_settings().bucket, AwsSettings.from_environment(), _s3_client)


@_kept
def egress_record() -> EgressRecord:
    """Return LiveKit's record of single egress."""
    livekit, keys = LiveKitSettings.from_environment(), livekit_secret()
    return EgressRecord(
        livekit.url, api_key=keys["api_key"], api_secret=keys["api_secret"], storage=storage_settings()
    )


@_kept
def upload_settings() -> UploadSettings:
    """Return how LiveKit's workers write into the bucket, and the page that they record."""
    return UploadSettings.from_environment()


@_kept
def egress() -> LiveKitEgress:
    """Return LiveKit's egress."""
    from .egress import LiveKitEgress, connect  # noqa: PLC0415 - livekit-api costs 400 ms at cold start

    livekit, upload = LiveKitSettings.from_environment(), upload_settings()
    keys = livekit_secret()
    return LiveKitEgress(
        lambda: connect(livekit.url, keys["api_key"], keys["api_secret"]),
        api_key=keys["api_key"],
        storage=storage_settings(),
        upload=upload,
        upload_credentials=secret(upload.secret_arn) if upload.secret_arn else None,
    )


@_kept
def recordings() -> RecordingService:
    """Return the use cases, wired for this environment."""
    return RecordingService(
        repository(),
        cast("Egress", _Egress(egress)),
        cast("Storage", _Deferred(storage)),
        policy_from_environment(),
        environment.get().clock,
    )


@_kept
def reconciler() -> Reconciler:
    """Return the sweep, wired for this environment."""
    from .events import EventBridge  # noqa: PLC0415 - only the sweep needs these
    from .reconciler import Reconciler  # noqa: PLC0415

    bus_name = EventSettings.from_environment().bus_name
    return Reconciler(
        recordings(),
        repository(),
        cast("Egress", _Egress(egress)),
        storage(),
        events=EventBridge(bus_name, _events_client) if bus_name else None,
        policy=policy_from_environment(),
        clock=environment.get().clock,
    )


@_kept
def api_settings() -> ApiSettings:
    """Return who may do what."""
    return ApiSettings.from_environment()
