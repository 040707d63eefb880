"""Requests that go out: what is sent, and until when an answer counts."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from local.services.authority import Authority
from recorder import outbound
from tests.support.outside import LOOPBACK, before, listening, silent, trickling

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    from tests.support.outside import Reply, Serve

BODY: Final = b"thirty bytes, three seconds..."
SECONDS: Final = 0.5


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """The TLS context of a server whose authority the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    outbound.tls_context.cache_clear()
    yield authority.server_context(LOOPBACK)
    outbound.tls_context.cache_clear()


def fetched(scheme: str, serve: Serve) -> tuple[int, bytes]:
    with listening(serve) as port:
        return outbound.get(f"{scheme}://{LOOPBACK}:{port}/", {}, seconds=SECONDS)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_t49_an_answer_that_trickles_does_not_extend_the_call(scheme: str, trusted: ssl.SSLContext) -> None:
    with pytest.raises(TimeoutError):
        fetched(scheme, trickling(BODY, trusted if scheme == "https" else None))


def test_t49_headers_that_trickle_do_not_extend_the_call() -> None:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
            over.wait(0.1)
            connection.sendall(bytes([byte]))

    with pytest.raises(TimeoutError):
        fetched("http", serve)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_t49_a_server_that_says_nothing_ends_the_call(scheme: str) -> None:
    """With https it does not even begin the handshake."""
    with pytest.raises(TimeoutError):
        fetched(scheme, silent)


def test_a_block_bounds_all_calls_in_it() -> None:
    with listening(silent) as port, outbound.all_within(SECONDS):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                outbound.get(f"http://{LOOPBACK}:{port}/", {}, seconds=3600)


def test_an_answer_in_time_is_read_over_tls(trusted: ssl.SSLContext) -> None:
    assert fetched("https", trickling(b"abc", trusted)) == (200, b"abc")


def test_a_certificate_that_the_system_does_not_trust_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        fetched("https", trickling(b"abc", authority.server_context(LOOPBACK)))


def test_a_certificate_for_another_name_is_refused(authority: Authority, trusted: ssl.SSLContext) -> None:
    del trusted
    with pytest.raises(ssl.SSLCertVerificationError):
        fetched("https", trickling(b"abc", authority.server_context("127.0.0.2")))


def test_the_next_address_of_a_host_is_tried() -> None:
    """`localhost` has an address of IPv6 as well, where nobody listens."""
    with listening(trickling(b"abc")) as port:
        assert outbound.get(f"http://localhost:{port}/", {}, seconds=5) == (200, b"abc")


def test_the_query_of_an_address_is_sent() -> None:
    asked: list[str] = []

    def note(_: str, path: str, __: Mapping[str, str], ___: bytes) -> Reply:
        asked.append(path)
        return 200, b""

    with before("http://unused", note) as origin:
        outbound.post(f"{origin}/a%20b?x=1&y=%2F", b"", {}, seconds=5)
        outbound.get(f"{origin}?x", {}, seconds=5)
    assert asked == ["/a%20b?x=1&y=%2F", "/?x"]


def test_a_client_keeps_its_connection_and_opens_another_where_the_server_ended_it() -> None:
    peers: list[tuple[str, int]] = []

    def once(connection: socket.socket, over: object) -> None:
        del over
        peers.append(connection.getpeername())
        for _ in range(2):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with listening(once) as port, closing(outbound.Client()) as client:
        answers = [client.request("GET", f"http://{LOOPBACK}:{port}/", None, {}, seconds=5) for _ in range(5)]
    assert answers == [(200, b"ok")] * 5
    assert len(peers) == 3


def test_a_name_that_nobody_has_and_a_port_that_nobody_has() -> None:
    with pytest.raises(socket.gaierror):
        outbound.get("http://nobody.invalid/", {}, seconds=5)
    with pytest.raises(ConnectionRefusedError):
        outbound.get(f"http://{LOOPBACK}:1/", {}, seconds=5)


@pytest.mark.parametrize("answer", [b"", b"HTTP/9 nonsense\r\n\r\n", b"\x00\x01\x02\r\n\r\n"])
def test_an_answer_that_is_no_http_is_a_lost_connection(answer: bytes) -> None:
    def serve(connection: socket.socket, over: object) -> None:
        del over
        connection.recv(65536)
        connection.sendall(answer)

    with pytest.raises(ConnectionError):
        fetched("http", serve)
