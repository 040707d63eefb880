"""The name and the place of an egress' file, and the manifest beside it."""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from json import dumps
from posixpath import normpath
from time import gmtime, strftime
from urllib.parse import quote, urlencode

from livekit.protocol import egress

from livekit_standin.timing import SECOND

_EXTENSIONS = {"mp4": ".mp4", "ogg": ".ogg", "webm": ".webm", "mp3": ".mp3"}
_KNOWN_EXTENSIONS = {".raw", ".ogg", ".mp3", ".ivf", ".mp4", ".ts", ".webm", ".m3u8", ".jpeg"}
_CONTENT_TYPES = {"mp4": "video/mp4", "ogg": "audio/ogg", "webm": "video/webm", "mp3": "audio/mpeg"}
# Characters that Go's net/url leaves alone in a path.
_PATH_SAFE = "/$&+,:;=@"
_PRESIGNED_S = 7 * 24 * 60 * 60


def clean(filepath: str) -> str:
    """Normalise the path of a request: no `..` gets out of it, a final slash stays."""
    path = _normalise(filepath) if filepath else ""
    while path.startswith("../"):
        path = path[3:]
    if path in {"", ".", ".."}:
        return ""
    return path + "/" if filepath.endswith("/") and not path.endswith("/") else path


def fill(template: str, replacements: dict[str, str], now: int) -> str:
    """Fill the placeholders of a path. A value that looks like a placeholder of time is filled again, as there."""
    for name, value in replacements.items():
        template = template.replace("{" + name + "}", value)
    if "{time}" in template:
        template = template.replace("{time}", _time(now))
    if "{utc}" in template:
        utc = strftime("%Y%m%d%H%M%S", gmtime(now // SECOND))
        template = template.replace("{utc}", f"{utc}{now // 1_000_000 % 1000:03d}")
    return template


def name(template: str, container: str, identifier: str, replacements: dict[str, str], now: int) -> str:
    """Make the file's name from the cleaned path of a request.

    `identifier` names the file where the path is empty or a folder. The extension is the container's: a known wrong
    one is replaced, an unknown one kept and the right one appended.
    """
    path = fill(template, replacements, now)
    extension = _EXTENSIONS[container]
    if not path or path.endswith("/"):
        return f"{path}{identifier}-{_time(now)}{extension}"
    if path.endswith(extension):
        return path
    stem, dot, last = path.rpartition(".")
    return (stem if dot and dot + last in _KNOWN_EXTENSIONS else path) + extension


def content_type(container: str) -> str:
    """Give the media type that the object gets."""
    return _CONTENT_TYPES[container]


def key_of(filename: str, prefix: str = "") -> str:
    """Give the S3 key of a file: `..` from a room's name takes it out of its folder."""
    return _normalise(f"{prefix}/{filename}" if prefix else filename)


def location(s3: egress.S3Upload, key: str) -> str:
    """Give the URL that LiveKit calls the file's location: always https, and without the region."""
    host, path = _place(s3, key)
    return f"https://{host}{quote(_normalise(path), safe=_PATH_SAFE)}"


def presigned(s3: egress.S3Upload, key: str, now: int) -> str:
    """Give a link by which anybody gets the file for seven days from `now` (ns) on."""
    host, path = _place(s3, key)
    path, region, time = quote(path), s3.region or "us-east-1", gmtime(now // SECOND)
    scope = f"{strftime('%Y%m%d', time)}/{region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{s3.access_key}/{scope}",
        "X-Amz-Date": strftime("%Y%m%dT%H%M%SZ", time),
        "X-Amz-Expires": str(_PRESIGNED_S),
        "X-Amz-SignedHeaders": "host",
        "x-id": "GetObject",
    }
    if s3.session_token:
        query["X-Amz-Security-Token"] = s3.session_token
    parameters = urlencode(sorted(query.items()), quote_via=quote, safe="")
    request = f"GET\n{path}\n{parameters}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = sha256(request.encode()).hexdigest()
    signed = "\n".join((query["X-Amz-Algorithm"], query["X-Amz-Date"], scope, digest))
    key_bytes = f"AWS4{s3.secret}".encode()
    for part in (*scope.split("/"), signed):
        key_bytes = hmac.digest(key_bytes, part.encode(), "sha256")
    scheme = s3.endpoint.partition("://")[0] if "://" in s3.endpoint else "https"
    return f"{scheme}://{host}{path}?{parameters}&X-Amz-Signature={key_bytes.hex()}"


@dataclass(slots=True)
class Stored:
    """The objects of an egress, as its manifest tells them."""

    files: list[dict[str, str]] = field(default_factory=list)
    playlists: list[dict[str, object]] = field(default_factory=list)
    images: list[dict[str, str]] = field(default_factory=list)


def manifest(info: egress.EgressInfo, stored: Stored) -> bytes:
    """Write the manifest of an egress that has ended."""
    content: dict[str, object] = {
        "egress_id": info.egress_id,
        "room_id": info.room_id,
        "room_name": info.room_name,
        "url": info.web.url,
        "started_at": info.started_at,
        "ended_at": info.ended_at,
        "publisher_identity": info.participant.identity,
        "track_id": info.track.track_id,
        "audio_track_id": info.track_composite.audio_track_id,
        "video_track_id": info.track_composite.video_track_id,
    }
    content |= {"files": stored.files, "playlists": stored.playlists, "images": stored.images}
    kept = {key: value for key, value in content.items() if value}
    return dumps(kept, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _place(s3: egress.S3Upload, key: str) -> tuple[str, str]:
    host = s3.endpoint.rpartition("//")[2].partition("/")[0] or "s3.amazonaws.com"
    if s3.force_path_style:
        return host, f"/{s3.bucket}/{key}"
    return f"{s3.bucket}.{host}", f"/{key}"


def _normalise(path: str) -> str:
    normal = normpath(path)
    return normal[1:] if normal.startswith("//") else normal


def _time(now: int) -> str:
    return strftime("%Y-%m-%dT%H%M%S", gmtime(now // SECOND))
