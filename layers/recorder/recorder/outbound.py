"""One request with the standard library: what a cold start can afford where no client is imported."""

from __future__ import annotations

import ssl
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def tls_context(ca_bundle: str = "") -> ssl.SSLContext:
    """Return what verifies a server's name and certificate, by the system's authorities or those of a PEM file.

    Reading the authorities takes longer than a handshake, so it is done once.
    """
    return ssl.create_default_context(cafile=ca_bundle or None)


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> tuple[int, bytes]:
    """Return the status and the body of the answer; no wait for the network is longer than `seconds`.

    Raises OSError where there is no answer, or none in HTTP.
    """
    return _request("POST", url, body, headers, seconds)


def get(url: str, headers: Mapping[str, str], *, seconds: float) -> tuple[int, bytes]:
    """Do the same without a body."""
    return _request("GET", url, None, headers, seconds)


def _request(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], seconds: float
) -> tuple[int, bytes]:
    address = urlsplit(url)
    host = address.hostname or ""
    connection = (
        HTTPSConnection(host, address.port, timeout=seconds, context=tls_context())
        if address.scheme == "https"
        else HTTPConnection(host, address.port, timeout=seconds)
    )
    try:
        path = f"{address.path or '/'}{f'?{address.query}' if address.query else ''}"
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    except HTTPException as error:
        raise ConnectionError(type(error).__name__) from error
    finally:
        connection.close()
