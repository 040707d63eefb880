"""The cost of a webhook that LiveKit did not send: anybody can post to its address."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Protocol, cast

import pytest

from tests.support.deployment import sign

if TYPE_CHECKING:
    from tests.support.deployment import Deployment

PATH = "/api/video/livekit/webhook"
NOWHERE = "http://127.0.0.1:1"


class Function(Protocol):
    def __call__(self, data: bytes | str = b"", **options: object) -> object: ...


def counted(function: object) -> tuple[Function, list[int]]:
    """Return a function that does the same, and the sizes of what it is called with."""
    sizes: list[int] = []

    def call(data: bytes | str = b"", **options: object) -> object:
        sizes.append(len(data))
        return cast("Function", function)(data, **options)

    return call, sizes


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sha256, sizes = counted(hashlib.sha256)
    monkeypatch.setattr(hashlib, "sha256", sha256)
    return sizes


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    b64decode, sizes = counted(base64.b64decode)
    monkeypatch.setattr(base64, "b64decode", b64decode)
    return sizes


@pytest.mark.parametrize("size", [2, 1024 * 1024])
def test_without_a_signature_nothing_is_decoded_hashed_or_asked(
    deployment: Deployment, hashed: list[int], decoded: list[int], size: int
) -> None:
    body = b" " * size
    # A request for the secret, or for a row, would find nobody there.
    deployment.configure(AWS_ENDPOINT_URL=NOWHERE, DATABASE_PORT="1")

    assert deployment.post_webhook(PATH, body, None).status == 401
    assert (hashed, decoded) == ([], [])


def test_a_mebibyte_is_not_decoded_and_asks_for_no_secret(
    deployment: Deployment, hashed: list[int], decoded: list[int]
) -> None:
    deployment.configure(AWS_ENDPOINT_URL=NOWHERE, DATABASE_PORT="1")

    assert deployment.post_webhook(PATH, b" " * 1024 * 1024, "a.b.c").status == 400
    assert (hashed, decoded) == ([], [])


def test_what_livekit_did_not_sign_is_not_hashed(deployment: Deployment, hashed: list[int]) -> None:
    body = b" " * 200 * 1024
    forged = sign(body, secret="another secret of thirty-two bytes")
    hashed.clear()
    deployment.configure(DATABASE_PORT="1")

    assert deployment.post_webhook(PATH, body, forged).status == 401
    assert len(body) not in hashed


def test_what_livekit_signed_is_hashed_once(deployment: Deployment, hashed: list[int]) -> None:
    body = b'{"event": "room_started"}'
    signature = sign(body)
    hashed.clear()

    assert deployment.post_webhook(PATH, body, signature).status == 200
    assert hashed.count(len(body)) == 1
