"""Secrets as people store them, read from where their ARN says, and no longer than one deadline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from recorder.aws.calls import secret
from recorder.errors import AwsError, SecretIncompleteError
from recorder.outbound import all_within
from recorder.settings import AwsSettings
from recorder.telemetry import cause_of
from tests.support.outside import LOOPBACK, before, listening, silent, trickling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stack import Stack
    from tests.support.outside import Reply, Serve

ARN: Final = "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"


def settings(endpoint: str, region: str = "us-east-1") -> AwsSettings:
    return AwsSettings(region, "any", "any", "", secrets_endpoint_url=endpoint)


def read_from(answer: bytes, status: int = 200) -> Mapping[str, str]:
    with before("http://unused", lambda *_: (status, answer)) as endpoint:
        return secret(settings(endpoint), ARN, "api_key", "api_secret")


def held(text: str) -> bytes:
    return json.dumps({"SecretString": text}).encode()


def test_a_secret_is_read(stack: Stack) -> None:
    aws = stack.aws
    own = AwsSettings(aws.region, aws.access_key, aws.secret_key, "", secrets_endpoint_url=aws.endpoint)
    arn = aws.put_secret("read", {"api_key": "k", "api_secret": "s", "more": "m"})
    assert secret(own, arn, "api_key", "api_secret") == {"api_key": "k", "api_secret": "s"}


def test_line_breaks_around_a_value_are_not_part_of_it() -> None:
    text = json.dumps({"api_key": "k\n", "api_secret": "\r\n a secret \r\n"})
    assert read_from(held(text)) == {"api_key": "k", "api_secret": " a secret "}


@pytest.mark.parametrize(
    "answer",
    [
        held('{"api_key": "k"}'),
        held('{"api_key": "k", "api_secret": null}'),
        held('{"api_key": "k", "api_secret": 5}'),
        held('{"api_key": "k", "api_secret": "\\n"}'),
        held('{"api_key": "k", "API_SECRET": "s"}'),
    ],
)
def test_a_field_that_is_missing_is_named(answer: bytes) -> None:
    with pytest.raises(SecretIncompleteError) as caught:
        read_from(answer)
    assert str(caught.value) == "api_secret"


@pytest.mark.parametrize(
    "answer", [held("canary"), held('["canary"]'), held(""), b"{}", b'{"SecretBinary": "YQ=="}']
)
def test_a_secret_that_is_no_json_object_lacks_each_field_and_is_not_told(answer: bytes) -> None:
    with pytest.raises(SecretIncompleteError) as caught:
        read_from(answer)
    assert str(caught.value) == "api_key, api_secret"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("status", "answer", "type_"),
    [
        (400, b'{"__type": "AccessDeniedException", "Message": "m"}', "AccessDeniedException"),
        (400, b'{"__type": "com.amazonaws.x#ResourceNotFoundException"}', "ResourceNotFoundException"),
        (400, b'{"__type": "DecryptionFailure:http://internal.amazon.com/"}', "DecryptionFailure"),
        (503, b"<html>", "HTTP 503"),
        (200, b"<html>", "MalformedAnswer"),
        (200, b"[]", "MalformedAnswer"),
    ],
)
def test_the_type_of_an_error_is_kept(status: int, answer: bytes, type_: str) -> None:
    with pytest.raises(AwsError) as caught:
        read_from(answer, status)
    assert cause_of(caught.value) == {"cause": "aws_refused", "error": "AwsError", "aws": type_}


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_secret_of_another_region_is_asked_of_that_region(region: str) -> None:
    signed: list[str] = []

    def note(_: str, __: str, headers: Mapping[str, str], ___: bytes) -> Reply:
        signed.append(headers["authorization"])
        return 200, held('{"password": "p"}')

    with before("http://unused", note) as endpoint:
        secret(settings(endpoint), f"arn:aws:secretsmanager:{region}:000000000000:secret:s", "password")
    assert f"/{region}/secretsmanager/aws4_request" in signed[0]


@pytest.mark.parametrize("serve", [silent, trickling(held('{"api_key": "k", "api_secret": "s"}'))])
def test_t49_one_deadline_for_all_of_the_call(serve: Serve) -> None:
    with listening(serve) as port, all_within(0.5), pytest.raises(AwsError) as caught:
        secret(settings(f"http://{LOOPBACK}:{port}"), ARN, "api_key", "api_secret")
    assert cause_of(caught.value)["cause"] == "timed_out"
