"""The takes of a recording: pause and resume for users, and going on after a lost worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recorder.domain import lifecycle, takes
from recorder.domain.kinds import kind_of
from recorder.domain.outputs import outputs_of, segments_of
from recorder.domain.playlist import count_of, segments_in
from recorder.domain.recording import BegunBy, Status
from recorder.errors import (
    EgressNotAskedError,
    EgressUnansweredError,
    EgressUnavailableError,
    NotPossibleNowError,
    RecordingNotFoundError,
    StartRefusedError,
    StorageUnavailableError,
)
from recorder.telemetry import Code, count, log
from recorder.usecases.ledger import Ledger

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from recorder.domain.egress import EgressSnapshot
    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Adapters

_NO_PAUSE: Final = "a recording of one track cannot be paused: a pause would end the file"


class Takes:
    """Begins the takes of recordings. Every method may raise DatabaseUnavailableError."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._ledger = Ledger(adapters)

    def start(self, recording: Recording, webhook_url: str | None) -> EgressSnapshot:
        """Start the egress of a recording's current take. LiveKit reports to `webhook_url` + "/" + the recording's id.

        Raises a StartRefusedError where nothing was started, EgressUnansweredError where that is not known.
        """
        try:
            egress = self._adapters.egress
        except EgressNotAskedError as error:
            raise EgressUnavailableError(str(error)) from error
        outputs = outputs_of(recording, poster=self._adapters.policy.poster)
        return egress.start(
            kind_of(recording), outputs, f"{webhook_url}/{recording.id}" if webhook_url else None
        )

    def go_on(self, recording_id: UUID, webhook_url: str | None) -> None:
        """Begin the next take of a recording whose worker was lost, if its room has people in it.

        Otherwise the takes so far become the recording. The sweep calls this again for each recording that waits.
        """
        recording = self._adapters.repository.get(recording_id)
        if recording is None or not _waits(recording):
            return
        if self._now >= recording.status_at + self._adapters.policy.resume_timeout:
            log.warning(Code.RESCUE_GIVEN_UP, recording_id=recording.id, take=recording.take)
            self._finish(recording)
        elif self._now >= takes.next_attempt_at(recording):
            self._go_on_if_people(recording, webhook_url)

    def pause(self, recording: Recording) -> Recording:
        """Store the wish that a recording pauses; doing so again changes nothing. The caller stops the egress.

        Raises NotPossibleNowError where it does not record, or where its kind has no pause.
        """
        if recording.source not in takes.PAUSABLE:
            raise NotPossibleNowError(_NO_PAUSE)
        paused = self._ledger.change(recording, lambda row: lifecycle.request_pause(row, self._now))
        if paused.status is not Status.PAUSED and paused.pause_requested_at is None:
            raise NotPossibleNowError(
                f"a recording can be paused while it is active; this one is {paused.status}"
            )
        return paused

    def resume(self, recording: Recording, webhook_url: str | None) -> Recording:
        """Begin the next take of a paused recording; one that records, or is about to, stays as it is.

        Raises NotPossibleNowError in any other status, and a StartRefusedError where LiveKit refuses: it stays paused.
        """
        if recording.status in {Status.ACTIVE, Status.RESUMING} and recording.pause_requested_at is None:
            return recording
        if recording.status is not Status.PAUSED:
            raise NotPossibleNowError(
                f"a recording can be resumed while it is paused; this one is {_described(recording)}"
            )
        begun = self._begin(recording, BegunBy.RESUME)
        return self._start(begun, webhook_url) if begun is not None else self._stored(recording)

    def _go_on_if_people(self, recording: Recording, webhook_url: str | None) -> None:
        try:
            # A recording of one participant has nothing to go on with while they are away.
            identity = recording.participant_identity
            people = self._adapters.listing.has_people(recording.room_name, identity)
        except EgressUnansweredError:
            # Nothing is known of the room: the next call asks again.
            return
        if not people:
            waited = self._now - recording.takes[-1].stopped_at if recording.takes else takes.REOPENING
            if people is False or not takes.reopening(recording) or waited >= takes.REOPENING:
                self._finish(recording)
            return
        begun = self._begin(recording, BegunBy.RESCUE)
        if begun is None:
            return
        try:
            self._start(begun, webhook_url)
        except StartRefusedError as error:
            kind = type(error).__name__
            log.warning(Code.TAKE_REFUSED, recording_id=recording.id, take=begun.take, reason=kind)

    def _begin(self, recording: Recording, begun_by: BegunBy) -> Recording | None:
        """Count what the take before has left, and take the next number; None where another call was faster."""
        segments = takes.wants_segments(recording, safety=self._adapters.policy.safety_segments)
        counted = self._with_segments_counted(recording)
        begun = takes.begin_take(counted, begun_by, self._now, segments=segments)
        return self._ledger.save(recording, begun) if begun is not None else None

    def _start(self, begun: Recording, webhook_url: str | None) -> Recording:
        try:
            snapshot = self.start(begun, webhook_url)
        except StartRefusedError:
            refused = self._ledger.change(begun, lambda row: takes.refuse_take(row, begun.take, self._now))
            if refused.between_takes:
                raise
            # A report has told of its egress meanwhile: something runs after all.
            return refused
        except EgressUnansweredError:
            log.warning(Code.START_UNANSWERED, recording_id=begun.id, take=begun.take)
            return begun
        log.info(Code.TAKE_BEGUN, recording_id=begun.id, take=begun.take, egress_id=snapshot.egress_id)
        count("TakesBegun", begun_by=begun.take_begun_by)
        started = self._ledger.apply(begun, snapshot)
        self._ledger.hint_deadline(started)
        return started

    def _finish(self, recording: Recording) -> None:
        self._ledger.change(recording, lambda row: takes.end_waiting(row, self._now) if _waits(row) else None)

    def _with_segments_counted(self, recording: Recording) -> Recording:
        """Fix how many safety segments of the take before count: numbers in a live playlist must not change."""
        last = recording.takes[-1] if recording.takes else None
        if last is None or not last.segments or last.segment_count is not None:
            return recording
        try:
            playlist = self._adapters.storage.read_text(segments_of(recording, last.take).playlist)
        except StorageUnavailableError:
            return recording
        segments = segments_in(playlist or "")
        return takes.with_segments_counted(
            recording, count_of(segments), sum(each.seconds for each in segments)
        )

    def _stored(self, recording: Recording) -> Recording:
        stored = self._adapters.repository.get(recording.id)
        if stored is None:
            raise RecordingNotFoundError
        return stored

    @property
    def _now(self) -> datetime:
        return self._adapters.clock.now()


def _waits(recording: Recording) -> bool:
    return takes.waits_for_take(recording) or (recording.between_takes and takes.reopening(recording))


def _described(recording: Recording) -> str:
    return "pausing" if recording.pause_requested_at is not None else recording.status
