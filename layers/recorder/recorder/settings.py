"""The environment, read in this module only: one settings class per concern.

They are named tuples and not pydantic models: pydantic alone would spend the read functions' cold start
(docs/decisions.md). Every `from_environment` raises SettingsError, which names the variable and never its value.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from recorder.domain.schedule import Policy

WEBHOOK_PATH: Final = "/api/video/livekit/webhook"
_ORIGIN: Final = r"(?i)https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}


class SettingsError(Exception):
    """A setting is missing or does not parse."""


def _text(environ: Mapping[str, str], name: str, default: str | None = None) -> str:
    value = environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise SettingsError(f"{name} is not set")
    return default


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = _text(environ, name, str(default))
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise SettingsError(f"{name} is not a whole number of at least 0")
    return value


def _choice(environ: Mapping[str, str], name: str, *choices: str) -> str:
    value = _text(environ, name, choices[0])
    if value not in choices:
        raise SettingsError(f"{name} is none of {', '.join(choices)}")
    return value


class AwsSettings(NamedTuple):
    """The Lambda role's credentials and the region, as the Lambda runtime sets them.

    The endpoints are empty where AWS's own are called.
    """

    region: str
    access_key: str
    secret_key: str
    session_token: str
    s3_endpoint_url: str = ""
    secrets_endpoint_url: str = ""
    events_endpoint_url: str = ""
    lambda_endpoint_url: str = ""
    credentials_url: str = ""
    credentials_token: str = ""
    """Where an environment that was restored from a snapshot asks for its keys, and with what: it has none."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read AWS's own variables."""
        endpoint_url = _text(environ, "AWS_ENDPOINT_URL", "").rstrip("/")
        credentials_url = _text(environ, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
        return cls(
            region=_text(environ, "AWS_REGION"),
            access_key=_text(environ, "AWS_ACCESS_KEY_ID", "" if credentials_url else None),
            secret_key=_text(environ, "AWS_SECRET_ACCESS_KEY", "" if credentials_url else None),
            session_token=_text(environ, "AWS_SESSION_TOKEN", ""),
            s3_endpoint_url=_text(environ, "AWS_ENDPOINT_URL_S3", endpoint_url).rstrip("/"),
            secrets_endpoint_url=_text(environ, "AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint_url).rstrip("/"),
            events_endpoint_url=_text(environ, "AWS_ENDPOINT_URL_EVENTBRIDGE", endpoint_url).rstrip("/"),
            lambda_endpoint_url=_text(environ, "AWS_ENDPOINT_URL_LAMBDA", endpoint_url).rstrip("/"),
            credentials_url=credentials_url,
            credentials_token=_text(environ, "AWS_CONTAINER_AUTHORIZATION_TOKEN", ""),
        )


class RuntimeSettings(NamedTuple):
    """Why Lambda started this environment: `on_demand` says that a request waits for it."""

    on_demand: bool

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read what Lambda sets."""
        return cls(on_demand=_text(environ, "AWS_LAMBDA_INITIALIZATION_TYPE", "") == "on-demand")


class DatabaseSettings(NamedTuple):
    """Where Postgres is and how to log in."""

    host: str
    port: int
    name: str
    user: str
    iam: bool
    secret_arn: str
    tls: bool
    ca_bundle: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the DATABASE_ variables."""
        iam = _choice(environ, "DATABASE_AUTHENTICATION", "password", "iam") == "iam"
        return cls(
            host=_text(environ, "DATABASE_HOST"),
            port=_number(environ, "DATABASE_PORT", 5432),
            name=_text(environ, "DATABASE_NAME"),
            user=_text(environ, "DATABASE_USER"),
            iam=iam,
            secret_arn=_text(environ, "DATABASE_SECRET_ARN", "" if iam else None),
            tls=_choice(environ, "DATABASE_TLS", "verify", "disable") == "verify",
            ca_bundle=_text(environ, "DATABASE_CA_BUNDLE", ""),
        )


class LiveKitSettings(NamedTuple):
    """Where LiveKit is, and the secret that holds `api_key` and `api_secret`."""

    url: str
    secret_arn: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the LIVEKIT_ variables; the URL may be absent where only webhooks are verified."""
        return cls(url=_text(environ, "LIVEKIT_URL", ""), secret_arn=_text(environ, "LIVEKIT_SECRET_ARN"))


class StorageSettings(NamedTuple):
    """The bucket that holds the recordings, and the name of this stack among those that share a LiveKit."""

    bucket: str
    deployment: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read RECORDINGS_BUCKET and DEPLOYMENT."""
        return cls(bucket=_text(environ, "RECORDINGS_BUCKET"), deployment=_text(environ, "DEPLOYMENT"))


class UploadSettings(NamedTuple):
    """How LiveKit's egress workers write to the bucket, and the page that they record."""

    endpoint: str
    region: str
    secret_arn: str
    assume_role_arn: str
    assume_role_external_id: str
    template_url: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the EGRESS_ variables."""
        return cls(
            endpoint=_text(environ, "EGRESS_S3_ENDPOINT", ""),
            region=_text(environ, "EGRESS_S3_REGION", ""),
            secret_arn=_text(environ, "EGRESS_S3_SECRET_ARN", ""),
            assume_role_arn=_text(environ, "EGRESS_S3_ASSUME_ROLE_ARN", ""),
            assume_role_external_id=_text(environ, "EGRESS_S3_EXTERNAL_ID", ""),
            template_url=_text(environ, "EGRESS_TEMPLATE_URL", ""),
        )


class ApiSettings(NamedTuple):
    """The rights of callers, and the address under which LiveKit reaches the webhook."""

    public_url: str
    webhook_url: str
    """Address to which LiveKit reports, for functions that no request tells their own."""
    required_scope: str
    room_claim: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read PUBLIC_URL, API_URL, REQUIRED_SCOPE and ROOM_CLAIM."""
        public_url = _text(environ, "PUBLIC_URL", "").rstrip("/")
        api_url = _text(environ, "API_URL", "").rstrip("/")
        own_url = public_url or api_url
        return cls(
            public_url=public_url,
            webhook_url=f"{own_url}{WEBHOOK_PATH}" if own_url else "",
            required_scope=_text(environ, "REQUIRED_SCOPE", ""),
            room_claim=_text(environ, "ROOM_CLAIM", ""),
        )


class PageSettings(NamedTuple):
    """The web pages that callers may record: those of these origins, in lower case and without a default port."""

    origins: frozenset[str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read WEB_RECORDING_ORIGINS: `https://host[:port]`, separated by commas; empty: no page may be recorded."""
        given = [
            each.strip() for each in _text(environ, "WEB_RECORDING_ORIGINS", "").split(",") if each.strip()
        ]
        if any(re.fullmatch(_ORIGIN, each) is None for each in given):
            raise SettingsError("WEB_RECORDING_ORIGINS has an entry that is not https://host[:port]")
        return cls(origins=frozenset(map(_origin, given)))

    def allow(self, page_url: str) -> bool:
        """Tell whether a page's origin is one of these; its scheme and its port belong to it."""
        found = re.match(_ORIGIN, page_url)
        return (
            found is not None
            and page_url[found.end() :][:1] in {"", "/", "?", "#"}
            and _origin(found[0]) in self.origins
        )


def _origin(address: str) -> str:
    scheme, _, place = address.lower().partition("://")
    return f"{scheme}://{place.removesuffix(_DEFAULT_PORTS[scheme])}"


class DoctorSettings(NamedTuple):
    """Settings of the doctor beside those of the functions: the issuer that API Gateway trusts."""

    jwt_issuer: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read JWT_ISSUER."""
        return cls(jwt_issuer=_text(environ, "JWT_ISSUER"))


class HintSettings(NamedTuple):
    """The functions that other functions call; an empty name leaves it to the schedule's sweep."""

    begin_take: str
    assemble: str
    sweep: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read BEGIN_TAKE_FUNCTION, ASSEMBLE_FUNCTION and SWEEP_FUNCTION."""
        return cls(
            begin_take=_text(environ, "BEGIN_TAKE_FUNCTION", ""),
            assemble=_text(environ, "ASSEMBLE_FUNCTION", ""),
            sweep=_text(environ, "SWEEP_FUNCTION", ""),
        )


class EventSettings(NamedTuple):
    """The EventBridge bus that hears of every state change; an empty name switches events off."""

    bus_name: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read EVENT_BUS_NAME."""
        return cls(bus_name=_text(environ, "EVENT_BUS_NAME", ""))


def policy_from_environment(environ: Mapping[str, str] = os.environ) -> "Policy":
    """Read the limits; 0 in RETENTION_DAYS or MAX_DURATION_SECONDS means none, in WAIT_CONCURRENCY no waiting."""
    # The connection to Postgres begins with settings, and must not wait for this.
    from recorder.domain.schedule import Policy  # noqa: PLC0415

    default = Policy()
    retention = _number(environ, "RETENTION_DAYS", 0)
    max_duration = _number(environ, "MAX_DURATION_SECONDS", 0)
    waits = _number(environ, "WAIT_CONCURRENCY", default.waits)

    def seconds(name: str, fallback: timedelta) -> timedelta:
        return timedelta(seconds=_number(environ, name, int(fallback.total_seconds())))

    return Policy(
        starting_timeout=seconds("STARTING_TIMEOUT_SECONDS", default.starting_timeout),
        stopping_timeout=seconds("STOPPING_TIMEOUT_SECONDS", default.stopping_timeout),
        waits=waits,
        upload_grace=seconds("UPLOAD_GRACE_SECONDS", default.upload_grace),
        pause_timeout=seconds("PAUSE_TIMEOUT_SECONDS", default.pause_timeout),
        resume_timeout=seconds("RESUME_TIMEOUT_SECONDS", default.resume_timeout),
        safety_segments=_choice(environ, "SAFETY_SEGMENTS", "on", "off") == "on",
        assemble_maximum_bytes=_number(environ, "ASSEMBLE_MAX_BYTES", default.assemble_maximum_bytes),
        playback_window=seconds("DVR_SECONDS", default.playback_window),
        poster=_choice(environ, "POSTER", "on", "off") == "on",
        retention=timedelta(days=retention) if retention else None,
        max_duration=timedelta(seconds=max_duration) if max_duration else None,
    )
