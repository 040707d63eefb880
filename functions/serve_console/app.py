"""GET /console…: the web page, from the files that `make build` put beside this module.

It imports next to nothing that the runtime has not imported itself, and reads a file when it is asked for: its cold
start is that of a bare handler.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from urllib.parse import parse_qsl, urlsplit
from zlib import MAX_WBITS, crc32, decompress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypedDict

    class Request(TypedDict):
        """The fields that are read of an event of payload format 2.0."""

        rawPath: str
        headers: Mapping[str, str]

    class Response(TypedDict, total=False):
        """An answer of payload format 2.0."""

        statusCode: int
        headers: dict[str, str]
        body: str
        isBase64Encoded: bool


PAGE = os.path.join(os.path.dirname(__file__), "page")
ROOT = "/console"
SETTINGS = '{"settings":"of the deployment"}'
# The hash of a style sheet without text: the player's elements make such sheets and fill them by script.
EMPTY_STYLE = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
SECURITY = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def lambda_handler(event: Request, _: object) -> Response:
    """Answer a file of the page; every other path below /console is the page itself, which knows its own addresses."""
    path = event["rawPath"].removeprefix(ROOT).strip("/")
    headers = event["headers"]
    if path.startswith("assets/") or path == "licences.txt":
        return _file(path, headers.get("accept-encoding", ""))
    return _entry(headers.get("if-none-match", ""))


def _entry(known: str) -> Response:
    headers = {**SECURITY, "cache-control": "no-cache", "content-security-policy": POLICY, "etag": ENTRY_TAG}
    if known.removeprefix("W/") == ENTRY_TAG:
        return {"statusCode": 304, "headers": headers}
    headers["content-type"] = "text/html; charset=utf-8"
    return {"statusCode": 200, "headers": headers, "body": ENTRY}


def _file(path: str, accepted: str) -> Response:
    stored = FILES.get(path)
    suffix = os.path.splitext(path)[1]
    if stored is None or suffix not in TYPES:
        return {"statusCode": 404, "headers": {**SECURITY, "content-type": "text/plain"}, "body": "Not found"}
    hashed = path.startswith("assets/")
    headers = {
        **SECURITY,
        "cache-control": "public, max-age=31536000, immutable" if hashed else "no-cache",
        "content-type": TYPES[suffix],
        "vary": "accept-encoding",
    }
    content, encoding = _encoded(path, stored, accepted)
    if encoding:
        headers["content-encoding"] = encoding
    return {
        "statusCode": 200,
        "headers": headers,
        "body": b64encode(content).decode(),
        "isBase64Encoded": True,
    }


def _encoded(path: str, stored: frozenset[str], accepted: str) -> tuple[bytes, str]:
    """Return the content as the caller takes it, and its encoding; without one where they take none."""
    if "" in stored:
        return _read(path), ""
    if "br" in _names(accepted):
        return _read(f"{path}.br"), "br"
    zipped = _read(f"{path}.gz")
    return (zipped, "gzip") if "gzip" in _names(accepted) else (decompress(zipped, MAX_WBITS | 16), "")


def _read(path: str) -> bytes:
    with open(os.path.join(PAGE, path), "rb") as file:
        return file.read()


def _names(accepted: str) -> set[str]:
    return {name.partition(";")[0].strip() for name in accepted.split(",") if not name.endswith("q=0")}


def _files() -> dict[str, frozenset[str]]:
    """Return each file of the page by its path, with the encodings in which it lies there."""
    found: dict[str, set[str]] = {}
    for folder in ("", "assets/"):
        for entry in os.scandir(os.path.join(PAGE, folder)):
            name, dot, ending = entry.name.rpartition(".")
            encoding = ending if dot and ending in {"br", "gz"} else ""
            found.setdefault(folder + (name if encoding else entry.name), set()).add(encoding)
    return {path: frozenset(encodings) for path, encodings in found.items()}


def _page() -> str:
    """Return the entry with the deployment's settings in it."""
    settings = {
        "authority": os.environ["JWT_ISSUER"],
        "clientId": os.environ["CONSOLE_CLIENT_ID"],
        "authorize": dict(parse_qsl(os.environ["CONSOLE_AUTHORIZE_PARAMETERS"])),
        "startFields": BUILT["startFields"],
    }
    # In a script element `<` could end it.
    text = json.dumps(settings, separators=(",", ":")).replace("<", "\\u003c")
    return _read("index.html").decode().replace(SETTINGS, text)


def _policy() -> str:
    """Return the content security policy: this origin, the bucket, and for signing in the issuer."""
    bucket = _origin(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ["BUCKET_URL"])
    issuer = _origin(os.environ["JWT_ISSUER"])
    token = _origin(os.environ["CONSOLE_TOKEN_ORIGIN"]) if os.environ["CONSOLE_TOKEN_ORIGIN"] else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' {' '.join(f"'{each}'" for each in (EMPTY_STYLE, *BUILT['styles']))}",
            "font-src 'self'",
            f"img-src 'self' {bucket}",
            f"media-src 'self' blob: {bucket}",
            "worker-src blob:",
            f"connect-src 'self' {bucket} {issuer} {token}".rstrip(),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


BUILT = json.loads(_read("page.json"))
FILES = _files()
ENTRY = _page()
ENTRY_TAG = f'"{len(ENTRY):x}-{crc32(ENTRY.encode()):08x}"'
POLICY = _policy()
