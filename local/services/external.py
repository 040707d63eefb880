"""Real services in place of the local ones, named by environment variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.session import get_session

from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ADDRESSES = {
    "LIVEKIT_URL": ("wss", "ws", "https", "http"),
    "S3_ENDPOINT": ("https", "http"),
    "PUBLIC_URL": ("https", "http"),
    "EGRESS_TEMPLATE_URL": ("https", "http"),
}


@dataclass(frozen=True)
class LiveKitServer:
    """A LiveKit server and the key to its API."""

    url: str
    api_key: str
    api_secret: str


@dataclass(frozen=True)
class Database:
    """A Postgres database and a role that owns it; TLS is verified unless the URL says `sslmode=disable`."""

    url: str

    def __post_init__(self) -> None:
        if not _is_url(self.url, "postgres", "postgresql") or not self.user:
            raise LocalStackError("DATABASE_URL must read postgresql://user:password@host:port/name")

    @property
    def host(self) -> str:
        """The server's host name."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The server's port."""
        return urlsplit(self.url).port or 5432

    @property
    def name(self) -> str:
        """The database's name, as Postgres has it the user's if the URL has none."""
        return unquote(urlsplit(self.url).path.lstrip("/")) or self.user

    @property
    def user(self) -> str:
        """The role."""
        return unquote(urlsplit(self.url).username or "")

    @property
    def password(self) -> str:
        """The role's password."""
        return unquote(urlsplit(self.url).password or "")

    @property
    def masked(self) -> str:
        """The URL with stars for the password, wherever that stands, to be printed."""
        parts = urlsplit(self.url)
        login, at, host = parts.netloc.rpartition("@")
        user, colon, _ = login.partition(":")
        query = re.sub(r"(?i)(password=)[^&]*", r"\1***", parts.query)
        return parts._replace(netloc=f"{user}{colon and ':***'}{at}{host}", query=query).geturl()

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted, and the server's certificate checked."""
        return parse_qs(urlsplit(self.url).query).get("sslmode") != ["disable"]


@dataclass(frozen=True)
class Bucket:
    """A bucket; without an endpoint it is on AWS."""

    name: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str

    @property
    def url(self) -> str:
        """Where its S3 answers; AWS's partitions have domains of their own."""
        session = get_session()
        # An endpoint that this process is told of is another bucket's.
        session.set_config_variable("ignore_configured_endpoint_urls", True)
        return self.endpoint or session.create_client("s3", self.region).meta.endpoint_url


@dataclass(frozen=True)
class External:
    """Services that are not local; None is local."""

    livekit: LiveKitServer | None = None
    database: Database | None = None
    bucket: Bucket | None = None
    public_url: str = ""
    template_url: str = ""
    """The page of room composites; empty is LiveKit's."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read LIVEKIT_URL, DATABASE_URL and S3_BUCKET with what belongs to them, PUBLIC_URL and EGRESS_TEMPLATE_URL.

        Raises LocalStackError where one of them is no address, or something that belongs to it is missing.
        """
        for name, schemes in _ADDRESSES.items():
            if environ.get(name) and not _is_url(environ[name], *schemes):
                raise LocalStackError(f"{name} must read {schemes[0]}://host, and not {environ[name]}")

        def needed(names: str) -> list[str]:
            if missing := [name for name in names.split() if not environ.get(name)]:
                raise LocalStackError(
                    f"{', '.join(missing)} must be set as well as {names.split(maxsplit=1)[0]}."
                )
            return [environ[name] for name in names.split()]

        livekit = database = bucket = None
        if environ.get("LIVEKIT_URL"):
            livekit = LiveKitServer(*needed("LIVEKIT_URL LIVEKIT_API_KEY LIVEKIT_API_SECRET"))
        if environ.get("DATABASE_URL"):
            database = Database(environ["DATABASE_URL"])
        if environ.get("S3_BUCKET") or environ.get("S3_ENDPOINT"):
            name, access_key, secret_key = needed("S3_BUCKET S3_ACCESS_KEY S3_SECRET_KEY")
            region = environ.get("S3_REGION") or "us-east-1"
            bucket = Bucket(name, environ.get("S3_ENDPOINT", ""), region, access_key, secret_key)
        public_url, template_url = environ.get("PUBLIC_URL", ""), environ.get("EGRESS_TEMPLATE_URL", "")
        return cls(livekit, database, bucket, public_url, template_url)


def _is_url(text: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(text)
        # A port that is no number raises ValueError, too.
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
