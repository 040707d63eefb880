"""Signatures are botocore's, whatever is signed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from recorder.aws.calls import database_token
from recorder.aws.sigv4 import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, signed_headers, signed_url
from recorder.settings import AwsSettings

if TYPE_CHECKING:
    from botocore.auth import BaseSigner

TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEY: Final = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)
SETTINGS: Final = st.builds(
    AwsSettings,
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
    access_key=KEY,
    secret_key=KEY,
    session_token=st.sampled_from(["", "token/with+signs=="]),
)
ORIGINS: Final = st.sampled_from(
    [
        "https://b.s3.us-east-1.amazonaws.com",
        "http://127.0.0.1:4566",
        "https://h:443",
        "http://h:80",
        "https://h:5432",
    ]
)


def signed_by_botocore(signer: BaseSigner, request: AWSRequest) -> datetime:
    """Sign, and return the time with which botocore did."""
    signer.add_auth(request)
    return datetime.strptime(str(request.context["timestamp"]), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def credentials(settings: AwsSettings) -> Credentials:
    return Credentials(settings.access_key, settings.secret_key, settings.session_token or None)


@given(SETTINGS, ORIGINS, st.binary(max_size=50), KEY)
def test_headers_are_signed_as_by_botocore(
    settings: AwsSettings, origin: str, body: bytes, value: str
) -> None:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"  a  {value} "}
    request = AWSRequest(method="POST", url=f"{origin}/", data=body, headers=headers)
    now = signed_by_botocore(SigV4Auth(credentials(settings), "secretsmanager", settings.region), request)

    ours = signed_headers(settings, "secretsmanager", f"{origin}/", headers, body, now=now)

    assert ours == dict(request.headers.items())


@given(SETTINGS, ORIGINS, st.binary(max_size=50), st.sampled_from([None, UNSIGNED_PAYLOAD, "0" * 64]))
def test_of_a_body_its_given_hash_is_signed_as_by_botocore(
    settings: AwsSettings, origin: str, body: bytes, given_hash: str | None
) -> None:
    url = f"{origin}/key?partNumber=1&uploadId=x"
    headers = {"X-Amz-Content-Sha256": given_hash or hashlib.sha256(body).hexdigest()}
    request = AWSRequest(method="PUT", url=url, data=body, headers=headers)
    now = signed_by_botocore(SigV4Auth(credentials(settings), "s3", settings.region), request)

    ours = signed_headers(settings, "s3", url, headers, body, now=now, method="PUT")

    assert ours == dict(request.headers.items())


@given(SETTINGS, ORIGINS, TEXT, st.dictionaries(KEY, TEXT, max_size=3), st.integers(1, 604_800))
def test_a_link_to_s3_is_signed_as_by_botocore(
    settings: AwsSettings, origin: str, key: str, parameters: dict[str, str], seconds: int
) -> None:
    url = f"{origin}/{quote(key, safe='/-_.~')}"
    request = AWSRequest(method="GET", url=url, params=parameters)
    signer = S3SigV4QueryAuth(credentials(settings), "s3", settings.region, expires=seconds)
    now = signed_by_botocore(signer, request)

    ours = signed_url(settings, "s3", url, parameters, payload=UNSIGNED_PAYLOAD, seconds=seconds, now=now)

    assert_same_link(ours, str(request.url))


@given(SETTINGS, TEXT)
def test_a_password_for_the_database_is_signed_as_by_botocore(settings: AwsSettings, user: str) -> None:
    url, parameters = "https://db.example.com:5432/", {"Action": "connect", "DBUser": user}
    request = AWSRequest(method="GET", url=url, params=parameters)
    signer = SigV4QueryAuth(credentials(settings), "rds-db", settings.region, expires=900)
    now = signed_by_botocore(signer, request)

    ours = signed_url(settings, "rds-db", url, parameters, payload=EMPTY_PAYLOAD, seconds=900, now=now)

    assert_same_link(ours, str(request.url))


@pytest.mark.parametrize("token", ["", "token/with+signs=="])
def test_the_password_lasts_as_long_as_rds_takes_it(token: str) -> None:
    settings, user = AwsSettings("eu-central-1", "access", "secret", token), "o'brien +/%"
    session = boto3.Session("access", "secret", token or None, "eu-central-1")
    theirs = session.client("rds").generate_db_auth_token("db.example.com", 5432, user)

    ours = database_token(settings, "db.example.com", 5432, user)

    changing = {"X-Amz-Date", "X-Amz-Signature"}
    one, other = (
        {
            name: value
            for name, value in parse_qs(urlsplit(f"https://{password}").query).items()
            if name not in changing
        }
        for password in (ours, theirs)
    )
    assert one == other


def assert_same_link(one: str, other: str) -> None:
    assert one.partition("?")[0] == other.partition("?")[0]
    assert parse_qs(urlsplit(one).query, keep_blank_values=True, strict_parsing=True) == parse_qs(
        urlsplit(other).query, keep_blank_values=True
    )
