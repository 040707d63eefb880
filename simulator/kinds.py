"""The kinds and outputs that users ask for; a track is asked for apart from these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from recorder.contract.requests import HlsRequest, OutputsRequest, ThumbnailsRequest
from recorder.domain.sources import Media, Source

if TYPE_CHECKING:
    from collections.abc import Sequence


class Chosen(TypedDict, total=False):
    """Options of a start beside its room."""

    source: Source
    participant_identity: str
    page_url: str
    media: Media
    outputs: OutputsRequest


_HLS: Final = OutputsRequest(hls=HlsRequest(segment_seconds=10))
_ALL: Final = OutputsRequest(
    hls=HlsRequest(segment_seconds=10),
    thumbnails=ThumbnailsRequest(every_seconds=60),
    streams=("rtmp://stream.example.com/app/key",),
)
# The plain room comes first: a history is shrunk to it.
CHOICES: Final[Sequence[Chosen]] = (
    {},
    {"outputs": _HLS},
    {"outputs": _ALL},
    {"media": Media.AUDIO},
    {"media": Media.VIDEO, "outputs": _HLS},
    {"source": Source.PARTICIPANT, "participant_identity": "ada"},
    {"source": Source.WEB, "page_url": "https://app.example.com/"},
    {"source": Source.WEB, "page_url": "https://app.example.com/", "outputs": _ALL},
)
