"""The use cases: start, stop, get, list, describe, delete.

The handlers call these, and so may any other Lambda code of the team: `from recorder import recordings`.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from recorder.domain import lifecycle, schedule, takes
from recorder.domain.outputs import kept_in
from recorder.domain.recording import (
    FailureCode,
    Kept,
    OnWorkerLost,
    Recording,
    Status,
    StopReason,
)
from recorder.domain.sources import Media as Heard
from recorder.domain.sources import Track
from recorder.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    EgressEndedError,
    EgressMisconfiguredError,
    EgressNotFoundError,
    EgressRefusedError,
    EgressUnansweredError,
    EgressUnavailableError,
    IdempotencyMismatchError,
    RecordingContendedError,
    RecordingGoneError,
    RecordingInProgressError,
    RecordingNotFoundError,
    RoomNotFoundError,
    StartRefusedError,
    StorageUnavailableError,
    UnsupportedCodecError,
)
from recorder.telemetry import Code, cause_of, count, log
from recorder.usecases.ledger import Ledger
from recorder.usecases.playback import Playback
from recorder.usecases.takes import Takes
from recorder.usecases.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from recorder.contract.requests import StartRequest
    from recorder.domain.links import Media
    from recorder.errors import RecorderError
    from recorder.usecases.ports import Adapters, Page
    from recorder.usecases.waiting import Waited

_KEY_BYTES: Final = 32
_STOP_WITHIN: Final = timedelta(seconds=15)
"""How late Start may be answered for Stop to follow at once: API Gateway waits 29 s for both; else the sweep stops."""

_REFUSALS: Final[Mapping[type[StartRefusedError], FailureCode]] = {
    RoomNotFoundError: FailureCode.ROOM_NOT_FOUND,
    EgressRefusedError: FailureCode.EGRESS_REFUSED,
    EgressUnavailableError: FailureCode.EGRESS_UNAVAILABLE,
    EgressMisconfiguredError: FailureCode.EGRESS_MISCONFIGURED,
}


class Started(NamedTuple):
    """The answer of Start; `egress_id` is None where LiveKit's answer was lost and the sweep will settle it."""

    recording_id: UUID
    egress_id: str | None


class Listing(NamedTuple):
    """One page of recordings."""

    recordings: Sequence[Recording]
    more: bool


class RecordingService:
    """Start, stop, get, list, describe and delete recordings.

    Every method may raise DatabaseUnavailableError; those that take a `user_id` raise RecordingNotFoundError where
    the recording is absent, deleted or somebody else's.
    """

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._ledger = Ledger(adapters)
        self._takes = Takes(adapters)
        self._playback = Playback(adapters)
        self._waiting = Waiting(adapters)

    def start(
        self,
        request: StartRequest,
        *,
        user_id: str,
        idempotency_key: str | None = None,
        webhook_url: str | None = None,
    ) -> Started:
        """Start a recording. LiveKit reports its progress to `webhook_url` + "/" + the recording's id.

        The row is stored before LiveKit is asked, so that no egress is ever without one. The same idempotency key
        with the same request gets the first answer again, for 24 hours.

        Raises UnsupportedCodecError, RecordingInProgressError, IdempotencyMismatchError, or a StartRefusedError.
        """
        recording = self._new_recording(request, user_id, idempotency_key)
        existing = self._adapters.repository.insert(recording)
        if existing is not None:
            return _replay(recording, existing, request)
        try:
            snapshot = self._takes.start(recording, webhook_url)
        except StartRefusedError as error:
            code, reason = _REFUSALS[type(error)], str(error)
            refused = self._ledger.change(
                recording, lambda current: lifecycle.refuse(current, code, reason, self._adapters.clock.now())
            )
            if refused.status is Status.FAILED:
                log.warning(Code.START_REFUSED, recording_id=recording.id, reason=code)
                raise
            # A webhook has told of an egress meanwhile: something runs after all.
            return Started(recording_id=recording.id, egress_id=refused.egress_id)
        except EgressUnansweredError as error:
            log.warning(Code.START_UNANSWERED, recording_id=recording.id, **cause_of(error))
            return Started(recording_id=recording.id, egress_id=None)
        try:
            started = self._ledger.apply(recording, snapshot)
        except DatabaseUnavailableError:
            # The egress runs, and that is what the caller must hear: webhook and sweep will store it.
            log.error(Code.STARTED_UNSTORED, recording_id=recording.id, egress_id=snapshot.egress_id)
            return Started(recording_id=recording.id, egress_id=snapshot.egress_id)
        in_time = self._adapters.clock.now() < recording.created_at + _STOP_WITHIN
        if started.live and started.stop_requested_at is not None and in_time:
            # Somebody wished the end before there was an egress to stop.
            self._stop_egress(started)
        self._ledger.hint_deadline(started)
        count("RecordingsStarted", source=str(recording.source))
        log.info(Code.STARTED, recording_id=recording.id, egress_id=snapshot.egress_id)
        return Started(recording_id=recording.id, egress_id=snapshot.egress_id)

    def get(self, recording_id: UUID, *, user_id: str) -> Recording:
        """Return a recording; a live status older than some seconds is asked of LiveKit first.

        Raises RecordingGoneError where the retention is over.
        """
        return self.get_changed(recording_id, user_id=user_id, wait=0).recording

    def get_changed(self, recording_id: UUID, *, user_id: str, wait: int) -> Waited:
        """Do the same, once the status has changed or is final; at most `wait` seconds pass until then."""
        until = self._waiting.until(wait)
        known = self._own(recording_id, user_id)
        return self._waiting.wait(
            self._refreshed(known),
            until,
            lambda: self._refreshed(self._own(recording_id, user_id)),
            lambda current: current.status is not known.status,
        )

    def media(self, recording: Recording, api_url: str | None = None) -> Media:
        """Return links to what a recording has, which end after an hour, or with the keys that sign them.

        While it records, the one that plays is the live playlist of the API at `api_url`.
        """
        return self._playback.media(recording, api_url)

    def counted(self, recording: Recording) -> Recording:
        """Return a recording with the thumbnails that the bucket holds while it records: LiveKit's count lags behind.

        Where the bucket does not answer, LiveKit's count stays.
        """
        if not recording.live or recording.thumbnail_seconds is None or recording.take_started_at is None:
            return recording
        try:
            kept = kept_in(self._adapters.storage.objects_of(recording), recording)
        except StorageUnavailableError as error:
            log.warning(Code.FILE_NOT_INSPECTED, recording_id=recording.id, **cause_of(error))
            return recording
        current = kept.get(recording.take, Kept()) if not recording.between_takes else Kept()
        told = takes.with_kept(recording.takes, kept)
        return (takes.more_kept(recording, current) or recording)._replace(takes=told)

    def list(self, page: Page) -> Listing:
        """Return a page of a user's recordings, and whether there are more."""
        found = self._adapters.repository.page(
            page._replace(limit=page.limit + 1), self._adapters.clock.now()
        )
        return Listing(recordings=found[: page.limit], more=len(found) > page.limit)

    def stop(self, recording_id: UUID, *, user_id: str) -> Recording:
        """Ask for the end of a recording; doing so again changes nothing.

        The status is `stopping` until the file exists.
        """
        return self.stop_and_wait(recording_id, user_id=user_id, wait=0).recording

    def stop_and_wait(self, recording_id: UUID, *, user_id: str, wait: int) -> Waited:
        """Do the same, and return once the status is final; at most `wait` seconds pass until then."""
        until = self._waiting.until(wait)
        recording = self._own(recording_id, user_id)
        stopping = self._ledger.change(
            recording,
            lambda current: lifecycle.request_stop(current, StopReason.USER, self._adapters.clock.now()),
        )
        if stopping.live:
            asked = stopping.version != recording.version
            stopping = self._stop_egress(stopping) if asked else self._refreshed(stopping)
        return self._waiting.wait(
            stopping,
            until,
            lambda: self._refreshed(self._own(recording_id, user_id)),
            lambda current: not current.live,
        )

    def pause(self, recording_id: UUID, *, user_id: str) -> Recording:
        """Pause a recording: its egress ends, and nothing of the pause is captured anywhere.

        The status is `paused` once LiveKit says that nothing is recorded; until then `active`, with the time of the
        request. Raises NotPossibleNowError where it does not record.
        """
        recording = self._own(recording_id, user_id)
        pausing = self._takes.pause(recording)
        asked = pausing.version != recording.version
        return self._stop_egress(pausing) if asked else self._refreshed(pausing)

    def resume(self, recording_id: UUID, *, user_id: str, webhook_url: str | None = None) -> Recording:
        """Go on with a paused recording. Raises NotPossibleNowError, or a StartRefusedError: then it stays paused."""
        return self._takes.resume(self._own(recording_id, user_id), webhook_url)

    def describe(self, recording_id: UUID, given: Mapping[str, object], *, user_id: str) -> Recording:
        """Change title, reference or metadata, in any status; `given` names those to change, None clears one.

        No event tells of it: the next one carries it.
        """
        return self._ledger.change(
            self._own(recording_id, user_id),
            lambda current: lifecycle.describe(current, given, self._adapters.clock.now()),
        )

    def delete(self, recording_id: UUID, *, user_id: str) -> str | None:
        """Remove a recording: its egress, its objects, its row. It is invisible at once and never comes back.

        What cannot be done now (LiveKit does not answer, a file is still to be uploaded) the sweep does later. So it
        does where StorageUnavailableError is raised: the recording is gone for its owner, but not yet its files.

        Returns the address of a file that stays, because LiveKit's worker put it into a storage of its own.
        """
        recording = self._own(recording_id, user_id)
        deleted = self._ledger.change(
            recording, lambda current: lifecycle.mark_deleted(current, self._adapters.clock.now())
        )
        if deleted.live:
            deleted = self._stop_egress(deleted)
        self._bury(deleted)
        log.info(Code.DELETED, recording_id=recording_id)
        if deleted.elsewhere is not None:
            log.warning(Code.FILE_ELSEWHERE, recording_id=recording_id, egress_id=deleted.egress_id)
        return deleted.elsewhere

    def delete_all(
        self, recording_ids: Iterable[UUID], *, user_id: str
    ) -> Mapping[UUID, RecorderError | None]:
        """Remove several recordings: they are invisible at once, all by one statement, and the sweep does the rest.

        Returns for each id, once and in the given order, the error that `delete` would raise, or None.
        """
        outcomes: dict[UUID, RecorderError | None] = dict.fromkeys(recording_ids)
        known = self._adapters.repository.get_all([*outcomes])
        wanted: list[Recording] = []
        for recording_id in outcomes:
            try:
                wanted.append(self._ledger.owned(known.get(recording_id), user_id))
            except (RecordingNotFoundError, RecordingGoneError) as error:
                outcomes[recording_id] = error
        for recording_id in self._ledger.delete_all(wanted):
            outcomes[recording_id] = RecordingContendedError()
        for recording in wanted:
            if outcomes[recording.id] is None and recording.elsewhere is not None:
                log.warning(Code.FILE_ELSEWHERE, recording_id=recording.id, egress_id=recording.egress_id)
        return outcomes

    def _bury(self, recording: Recording) -> None:
        """Remove a deleted recording's objects and, if no upload can follow, its row."""
        try:
            self._adapters.storage.delete(recording)
        except StorageUnavailableError as error:
            log.warning(Code.OBJECTS_NOT_REMOVED, recording_id=recording.id, **cause_of(error))
            count("ObjectsNotRemoved")
            raise
        if not recording.awaits_upload(self._adapters.clock.now()):
            self._adapters.repository.remove(recording)

    def _new_recording(self, request: StartRequest, user_id: str, idempotency_key: str | None) -> Recording:
        kind = request.kind
        if request.codec == "vp8" and not isinstance(kind, Track):
            raise UnsupportedCodecError(
                "vp8 is not available for a composite, LiveKit would record H264: use h264, or record a track"
            )
        sound = isinstance(kind, Track) or request.kind_media is Heard.VIDEO
        if request.audio_codec == "opus" and not sound and (request.outputs.hls or request.outputs.streams):
            raise UnsupportedCodecError("opus is not available with HLS or streams: use aac")
        now = self._adapters.clock.now()
        limits = [request.max_duration] if request.max_duration else []
        if self._adapters.policy.max_duration:
            limits.append(int(self._adapters.policy.max_duration.total_seconds()))
        recording = Recording(
            id=uuid4(),
            user_id=user_id,
            room_name=kind.room_name,
            source=kind.source,
            status=Status.STARTING,
            created_at=now,
            updated_at=now,
            status_at=now,
            started_at=now,
            max_duration=min(limits, default=None),
            target=kind.target,
            idempotency_key=idempotency_key,
            idempotency_fingerprint=request.fingerprint,
            on_worker_lost=OnWorkerLost(request.on_worker_lost),
            playback_key=secrets.token_hex(_KEY_BYTES),
            title=request.title,
            reference=request.reference,
            metadata=request.metadata,
            **kind.columns,
            **request.outputs.columns,
        )
        segments = takes.wants_segments(recording, safety=self._adapters.policy.safety_segments)
        recording = recording._replace(take_segments=segments)
        return schedule.reschedule(None, recording, self._adapters.policy, now)

    def _own(self, recording_id: UUID, user_id: str) -> Recording:
        return self._ledger.own(recording_id, user_id)

    def _refreshed(self, recording: Recording) -> Recording:
        now = self._adapters.clock.now()
        fresh = (
            recording.refreshed_at is not None
            and now - recording.refreshed_at < self._adapters.policy.refresh_after
        )
        if not recording.live or recording.egress_id is None or recording.between_takes or fresh:
            return recording
        found = self._find(recording)
        if found.version == recording.version:
            # Polls must not make LiveKit be asked each time. A Postgres that only reads does not keep back the answer.
            with suppress(DatabaseBusyError):
                self._adapters.repository.refreshed(recording.id, now)
        return found

    def _stop_egress(self, recording: Recording) -> Recording:
        if recording.egress_id is None or recording.between_takes:
            return recording
        try:
            return self._ledger.take_in(recording, self._adapters.egress.stop(recording.egress_id))
        except (EgressEndedError, EgressNotFoundError):
            return self._find(recording)
        except EgressUnansweredError as error:
            egress_id = recording.egress_id
            log.warning(
                Code.STOP_UNANSWERED, recording_id=recording.id, egress_id=egress_id, **cause_of(error)
            )
            return recording

    def _find(self, recording: Recording) -> Recording:
        """Look a recording's egress up in LiveKit's listing and apply the answer, if there is one."""
        if recording.egress_id is None:
            return recording
        try:
            return self._ledger.take_in(recording, self._adapters.listing.find(recording.egress_id))
        except EgressNotFoundError:
            # One negative answer says nothing: the sweep has further witnesses.
            return recording
        except EgressUnansweredError as error:
            egress_id = recording.egress_id
            log.warning(
                Code.LOOKUP_UNANSWERED, recording_id=recording.id, egress_id=egress_id, **cause_of(error)
            )
            return recording


def _replay(recording: Recording, existing: Recording, request: StartRequest) -> Started:
    key = recording.idempotency_key
    if key is None or (existing.user_id, existing.idempotency_key) != (recording.user_id, key):
        visible = existing.user_id == recording.user_id and existing.deleted_at is None
        ending = existing.status is Status.STOPPING
        raise RecordingInProgressError(existing.id if visible else None, ending=ending)
    if existing.idempotency_fingerprint not in {request.fingerprint, request.fingerprint_of_1_0}:
        raise IdempotencyMismatchError
    for refusal, code in _REFUSALS.items():
        if existing.failure_code == code:
            raise refusal(existing.failure_reason)
    return Started(recording_id=existing.id, egress_id=existing.egress_id)
