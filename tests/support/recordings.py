"""Recordings as tests need them: every field has a value, and what matters is named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypedDict, Unpack
from uuid import UUID, uuid4

from recorder.domain.recording import Recording, Status
from recorder.domain.sources import Media, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recorder.domain.recording import BegunBy, OnWorkerLost, StopReason, Take, Unknown

T0: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Fields(TypedDict, total=False):
    id: UUID
    user_id: str
    room_name: str
    source: Source | Unknown
    status: Status | Unknown
    created_at: datetime
    updated_at: datetime
    status_at: datetime
    layout: str | None
    resolution: str | None
    codec: str | None
    audio_codec: str | None
    audio_bitrate: int | None
    video_bitrate: int | None
    track_sid: str | None
    media: Media | Unknown | None
    orientation: str | None
    framerate: int | None
    participant_identity: str | None
    screen_share: bool
    audio_track_sid: str | None
    video_track_sid: str | None
    page_url: str | None
    with_file: bool
    hls_seconds: int | None
    thumbnail_seconds: int | None
    thumbnail_width: int | None
    thumbnail_height: int | None
    stream_urls: tuple[str, ...]
    stream_states: tuple[str, ...]
    hls_size: int | None
    thumbnail_count: int | None
    title: str | None
    reference: str | None
    metadata: Mapping[str, str] | None
    room_sid: str | None
    egress_id: str | None
    started_at: datetime | None
    stopped_at: datetime | None
    storage_key: str | None
    file_url: str | None
    file_size: int | None
    duration: float | None
    failure_code: str | None
    failure_reason: str | None
    end_reason: str | None
    max_duration: int | None
    expires_at: datetime | None
    target: str | None
    idempotency_key: str | None
    playback_key: str | None
    idempotency_fingerprint: str | None
    stop_reason: StopReason | Unknown | None
    stop_requested_at: datetime | None
    deleted_at: datetime | None
    late_upload_until: datetime | None
    take: int
    take_begun_by: BegunBy | Unknown
    take_requested_at: datetime | None
    take_started_at: datetime | None
    take_ended_at: datetime | None
    take_segments: bool
    on_worker_lost: OnWorkerLost | Unknown | None
    pause_requested_at: datetime | None
    parts_kept: bool
    takes: tuple[Take, ...]
    recorder_seen_at: datetime | None
    absent_since: datetime | None
    handler_silent_since: datetime | None
    handler_answered_at: datetime | None
    refreshed_at: datetime | None
    due_at: datetime | None
    attempts: int
    version: int


def recording(**fields: Unpack[Fields]) -> Recording:
    """Make a recording of alice's room `demo` that was asked for at T0."""
    defaults: Fields = {
        "id": uuid4(),
        "user_id": "alice",
        "room_name": "demo",
        "source": Source.ROOM_COMPOSITE,
        "status": Status.STARTING,
        "created_at": T0,
        "updated_at": T0,
        "status_at": T0,
        "resolution": "1080p",
        "audio_codec": "aac",
    }
    return Recording(**(defaults | fields))
