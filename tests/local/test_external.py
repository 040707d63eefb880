from __future__ import annotations

import pytest

from local.processes.children import LocalStackError
from local.services.external import Bucket, Database, External, LiveKitServer

LIVEKIT = {
    "LIVEKIT_URL": "wss://livekit.example.com",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "secret",
}
S3 = {"S3_BUCKET": "films", "S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret"}


def test_without_variables_everything_is_local() -> None:
    assert External.from_environment({}) == External()


def test_each_service_can_be_replaced() -> None:
    replaced = External.from_environment(
        {
            **LIVEKIT,
            **S3,
            "S3_ENDPOINT": "https://s3.example.com",
            "S3_REGION": "eu-west-1",
            "DATABASE_URL": "postgresql://me:se%40cret@db.example.com/recorder",
            "PUBLIC_URL": "https://api.example.com",
            "EGRESS_TEMPLATE_URL": "https://page.example.com/?x=1",
        }
    )
    assert replaced == External(
        LiveKitServer("wss://livekit.example.com", "key", "secret"),
        Database("postgresql://me:se%40cret@db.example.com/recorder"),
        Bucket("films", "https://s3.example.com", "eu-west-1", "key", "secret"),
        "https://api.example.com",
        "https://page.example.com/?x=1",
    )


def test_a_bucket_without_an_endpoint_is_on_aws() -> None:
    assert External.from_environment(S3).bucket == Bucket("films", "", "us-east-1", "key", "secret")


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({"LIVEKIT_URL": "wss://x", "LIVEKIT_API_KEY": "key"}, "LIVEKIT_API_SECRET"),
        ({"S3_ENDPOINT": "https://x"}, "S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY"),
    ],
)
def test_half_a_service_is_refused(environ: dict[str, str], missing: str) -> None:
    with pytest.raises(LocalStackError, match=f"{missing} must be set"):
        External.from_environment(environ)


def test_a_database_url_is_taken_apart() -> None:
    database = Database("postgres://me:se%40cret@db.example.com:6543/my%20data?sslmode=disable")
    assert (database.host, database.port, database.name) == ("db.example.com", 6543, "my data")
    assert (database.user, database.password, database.tls) == ("me", "se@cret", False)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        (
            "postgresql://me:canary@db:6543/data?sslmode=disable",
            "postgresql://me:***@db:6543/data?sslmode=disable",
        ),
        ("postgresql://me:canary@canary@db/data", "postgresql://me:***@db/data"),
        ("postgres://me@db/data?a=b&Password=canary", "postgres://me@db/data?a=b&Password=***"),
        ("postgresql://me:@db", "postgresql://me:***@db"),
    ],
)
def test_a_database_url_is_printed_without_its_password(url: str, masked: str) -> None:
    assert Database(url).masked == masked


@pytest.mark.parametrize("query", ["", "?sslmode=require", "?sslmode=verify-full"])
def test_a_database_is_reached_over_tls_unless_the_url_says_otherwise(query: str) -> None:
    assert Database(f"postgresql://me:secret@db.example.com{query}").tls


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://me@host/db", "postgresql://host/db", "nonsense"),
        *("postgresql://me@host:port/db", "postgresql://me@host:99999/db", "postgresql://me@[host/db"),
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(LocalStackError, match="DATABASE_URL must read"):
        Database(url)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (LIVEKIT | {"LIVEKIT_URL": "livekit.example.com"}, "LIVEKIT_URL must read wss://host"),
        (LIVEKIT | {"LIVEKIT_URL": "livekit.example.com:7880"}, "LIVEKIT_URL must read wss://host"),
        (LIVEKIT | {"LIVEKIT_URL": "wss://"}, "LIVEKIT_URL must read wss://host"),
        (LIVEKIT | {"LIVEKIT_URL": "wss://livekit:port"}, "LIVEKIT_URL must read wss://host"),
        (S3 | {"S3_ENDPOINT": "s3.example.com"}, "S3_ENDPOINT must read https://host"),
        ({"PUBLIC_URL": "api.example.com"}, "PUBLIC_URL must read https://host"),
        ({"EGRESS_TEMPLATE_URL": "page"}, "EGRESS_TEMPLATE_URL must read https://host"),
    ],
    ids=str,
)
def test_an_address_without_a_scheme_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(LocalStackError, match=message):
        External.from_environment(environ)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:7880", "http://livekit", "https://livekit.example.com/path"])
def test_livekit_may_be_reached_in_each_of_its_ways(url: str) -> None:
    livekit = External.from_environment(LIVEKIT | {"LIVEKIT_URL": url}).livekit
    assert livekit == LiveKitServer(url, "key", "secret")


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-central-1", "https://s3.eu-central-1.amazonaws.com"),
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "https://s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_a_bucket_on_aws_is_in_the_domain_of_its_partition(
    monkeypatch: pytest.MonkeyPatch, region: str, url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://another.example.com")
    assert Bucket("films", "", region, "key", "secret").url == url
    assert Bucket("films", "https://s3.example.com", region, "key", "secret").url == "https://s3.example.com"
