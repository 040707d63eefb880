"""Connections to LiveKit that are refused, or that nobody answers: told as what they are, and in time."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from recorder.domain.outputs import File
from recorder.domain.sources import RoomComposite
from recorder.errors import EgressUnansweredError, EgressUnavailableError
from recorder.livekit.client import connect
from recorder.livekit.egress import LiveKitEgress
from recorder.livekit.lookup import EgressLookup
from recorder.settings import StorageSettings, UploadSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STORAGE: Final = StorageSettings("recordings", "test")
UPLOAD: Final = UploadSettings(
    endpoint="", region="", secret_arn="", assume_role_arn="", assume_role_external_id="", template_url=""
)
API_GATEWAY_SECONDS: Final = 29.0


def lookup(url: str) -> None:
    EgressLookup(url, api_key="key", api_secret="secret" * 6, storage=STORAGE).find("EG_1")


def with_client(url: str, act: Callable[[LiveKitEgress], object]) -> None:
    egress = LiveKitEgress(
        lambda: connect(url, "key", "secret" * 6), api_key="key", storage=STORAGE, upload=UPLOAD
    )
    with closing(egress):
        act(egress)


CALLS: Final[dict[str, Callable[[str], None]]] = {
    "look_up": lookup,
    "find": lambda url: with_client(url, lambda egress: egress.find("EG_1")),
    "stop": lambda url: with_client(url, lambda egress: egress.stop("EG_1")),
    "list": lambda url: with_client(url, lambda egress: egress.list_active()),
    "rooms": lambda url: with_client(url, lambda egress: egress.open_rooms(["demo"])),
}


@pytest.fixture
def silent() -> Iterator[str]:
    """A host and port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing() -> str:
    """A host and port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_start_that_nobody_takes_has_started_nothing(refusing: str, scheme: str) -> None:
    with pytest.raises(EgressUnavailableError):
        with_client(
            f"{scheme}://{refusing}",
            lambda egress: egress.start(RoomComposite(room_name="demo"), [File(path="a.mp4")], None),
        )


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connection_that_is_refused_says_nothing_of_an_egress(refusing: str, scheme: str, call: str) -> None:
    with pytest.raises(EgressUnansweredError):
        CALLS[call](f"{scheme}://{refusing}")


@pytest.mark.parametrize("call", ["look_up", "find", "stop"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silence_ends_before_api_gateway_gives_up(silent: str, scheme: str, call: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(CALLS[call], f"{scheme}://{silent}")
        with pytest.raises(EgressUnansweredError):
            waiting.result(API_GATEWAY_SECONDS)
