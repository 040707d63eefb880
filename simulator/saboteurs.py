"""Deliberate bugs, each in place of one function: what shows that the simulator bites."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from recorder.domain import lifecycle, takes, verdict
from recorder.domain.recording import Status, TakeEnd, next_version
from recorder.domain.verdict import Handler, Judgement, Step
from recorder.errors import (
    DatabaseBusyError,
    EgressNotFoundError,
    EgressUnansweredError,
    EgressUnavailableError,
)
from recorder.livekit import egress as livekit_egress
from recorder.livekit import info as egress_info
from recorder.livekit.egress import LiveKitEgress
from recorder.sweep import deadlines, live, orphans, outbox
from recorder.sweep.context import Context
from recorder.usecases.assembling import Assembling
from recorder.usecases.ledger import Ledger
from recorder.usecases.recordings import RecordingService, Started, _replay
from recorder.usecases.takes import Takes
from simulator import memory
from simulator.memory import MemoryRepository, MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from livekit.protocol import egress as protocol

    from recorder.contract.requests import StartRequest
    from recorder.domain.egress import EgressSnapshot
    from recorder.domain.outputs import Output, TakeId
    from recorder.domain.recording import BegunBy, Recording, StoredFile, Take
    from recorder.domain.schedule import Policy
    from recorder.domain.sources import Kind
    from recorder.domain.verdict import Evidence
    from recorder.livekit.client import LiveKit
    from recorder.settings import StorageSettings
    from recorder.sweep.context import ActiveListing
    from recorder.usecases.ports import Answer, StoredEvent, TakeParts

_apply_snapshot = lifecycle.apply_snapshot
_judge_deadlines = verdict._judge_deadlines
_owner = egress_info._owner
_reports = live._reports
_own = RecordingService._own
_start = LiveKitEgress.start
_save = MemoryRepository.save
_lease_events = MemoryRepository.lease_events
_in_the_way = MemoryRepository._in_the_way
_lease = MemoryRepository.lease
_ledger_save = Ledger.save
_settle_ended = orphans._settle_ended
_join = Assembling._join
_parts = Assembling._parts
_begin_take = takes.begin_take
_finish = takes.finish
_with_seconds = takes.with_seconds


def _final_is_not_final(
    recording: Recording,
    snapshot: EgressSnapshot,
    now: datetime,
    policy: Policy,
    *,
    people: bool | None = None,
) -> Recording | None:
    seen = recording if recording.live else recording._replace(status=Status.ACTIVE)
    return _apply_snapshot(seen, snapshot, now, policy, people=people)


def _start_before_insert(
    self: RecordingService,
    request: StartRequest,
    *,
    user_id: str,
    idempotency_key: str | None = None,
    webhook_url: str | None = None,
) -> Started:
    recording = self._new_recording(request, user_id, idempotency_key)
    snapshot = self._takes.start(recording, webhook_url)
    existing = self._adapters.repository.insert(recording)
    if existing is not None:
        return _replay(recording, existing, request)
    self._ledger.apply(recording, snapshot)
    return Started(recording_id=recording.id, egress_id=snapshot.egress_id)


def _an_error_is_a_refusal(
    self: LiveKitEgress, kind: Kind, outputs: Sequence[Output], webhook_url: str | None
) -> EgressSnapshot:
    try:
        return _start(self, kind, outputs, webhook_url)
    except EgressUnansweredError as error:
        raise EgressUnavailableError(str(error)) from error


def _row_before_objects(self: RecordingService, recording: Recording) -> None:
    self._adapters.repository.remove(recording)
    self._adapters.storage.delete(recording)


def _nothing_is_leased(
    self: MemoryRepository, now: datetime, _until: datetime, limit: int
) -> list[StoredEvent]:
    return _lease_events(self, now, now, limit)


def _nothing_is_adopted(
    context: Context, recordings: Sequence[Recording], listing: ActiveListing
) -> Mapping[UUID, Answer]:
    unknown = {each.id: EgressNotFoundError() for each in recordings if each.egress_id is None}
    return {**_reports(context, recordings, listing), **unknown}


def _the_listing_is_enough(
    recording: Recording, evidence: Evidence, now: datetime, policy: Policy
) -> Judgement:
    if evidence.listed is None and recording.egress_id is not None:
        return Judgement(recording=recording, step=Step.LOOK, final=True)
    return _judge(recording, evidence, now, policy)


def _the_room_is_enough(recording: Recording, evidence: Evidence, now: datetime, policy: Policy) -> Judgement:
    handler = Handler.SILENT if evidence.doubtful else evidence.handler
    return _judge(recording, evidence._replace(handler=handler), now, policy)


def _handlers_are_never_asked(_context: Context, egress_ids: Iterable[str]) -> Mapping[str, Handler]:
    return dict.fromkeys(egress_ids, Handler.UNKNOWN)


_judge = verdict.judge


def _every_silence_is_death(_context: Context, egress_ids: Iterable[str]) -> Mapping[str, Handler]:
    return dict.fromkeys(egress_ids, Handler.SILENT)


def _every_clock_is_right(told: datetime | None, _earliest: datetime, now: datetime) -> datetime:
    return told or now


def _nothing_is_waited_for(_context: Context) -> bool:
    return False


def _nobody_comes_back(context: Context, snapshots: Sequence[EgressSnapshot]) -> None:
    owners = [each.recording_id for each in snapshots if each.recording_id is not None]
    context.adapters.repository.make_due(owners, context.now)


def _a_stop_is_tried_once(
    recording: Recording, evidence: Evidence, now: datetime, policy: Policy
) -> Judgement:
    judgement = _judge_deadlines(recording, evidence, now, policy)
    tried = recording.stop_requested_at is not None and judgement.step is Step.STOP
    return judgement._replace(step=Step.NONE) if tried else judgement


def _everything_is_ours(info: protocol.EgressInfo, storage: StorageSettings) -> TakeId | None:
    theirs = info.room_composite.file_outputs
    return _owner(info, storage) or next(
        (
            _owner(info, storage._replace(bucket=each.s3.bucket, deployment=each.s3.metadata["deployment"]))
            for each in theirs
            if "deployment" in each.s3.metadata
        ),
        None,
    )


def _events_are_forgotten_first(context: Context) -> None:
    repository, events = context.adapters.repository, context.adapters.events
    while events is not None and (
        waiting := repository.lease_events(context.now, context.now, outbox.EVENTS)
    ):
        repository.delete_events([each.position for each in waiting])
        events.publish(waiting)


def _writes_do_not_compare(self: MemoryRepository, before: Recording, after: Recording) -> bool:
    stored = self.rows.get(after.id)
    return stored is not None and _save(self, before._replace(version=stored.version), after)


def _everybody_owns_everything(self: RecordingService, recording_id: UUID, user_id: str) -> Recording:
    found = self._adapters.repository.get(recording_id)
    return _own(self, recording_id, found.user_id if found is not None else user_id)


async def _one_page_is_all(
    livekit: LiveKit, request: protocol.ListEgressRequest
) -> list[protocol.EgressInfo]:
    return list((await livekit.egress.list_egress(request)).items)


def _the_key_is_what_was_asked_for(
    name: str, _location: str, _bucket: str, *, backup: bool
) -> tuple[str, ...]:
    return () if backup else (name,)


def _the_bucket_is_not_asked(_: Ledger, _recording: Recording, snapshot: EgressSnapshot) -> EgressSnapshot:
    return snapshot._replace(files=tuple(each._replace(checked=True) for each in snapshot.files))


def _locations_open_files(location: str) -> str:
    return location


def _anything_is_the_file(objects: Iterable[StoredFile], _: Recording) -> StoredFile | None:
    return next((each for each in objects if not each.key.endswith(".json")), None)


def _only_the_folder_is_emptied(self: MemoryStorage, recording: Recording) -> None:
    for key in [key for key in self.objects if key.startswith(recording.prefix)]:
        del self.objects[key]


def _an_unreadable_row_frees_its_target(self: MemoryRepository, recording: Recording) -> Recording | None:
    standing = _in_the_way(self, recording)
    return None if standing is not None and standing.id in self.unreadable else standing


def _an_unreadable_row_ends_the_sweep(
    self: MemoryRepository, now: datetime, until: datetime, limit: int, *, refreshed_at: datetime | None
) -> list[Recording]:
    if any(self.rows[each].due_at is not None for each in self.unreadable & self.rows.keys()):
        raise ValueError("a row cannot be read")
    return _lease(self, now, until, limit, refreshed_at=refreshed_at)


def _a_conflict_counts_as_written(self: Ledger, before: Recording, after: Recording) -> Recording | None:
    try:
        return _ledger_save(self, before, after)
    except DatabaseBusyError:
        return after


def _takes_begin_beside_each_other(self: Takes, recording: Recording, begun_by: BegunBy) -> Recording | None:
    def rule(row: Recording) -> Recording | None:
        free = row._replace(take_ended_at=row.take_ended_at or self._now)
        return takes.begin_take(free, begun_by, self._now, segments=takes.wants_segments(row, safety=True))

    return self._ledger.change(recording, rule)


def _every_report_is_of_the_current_take(recording: Recording, _: EgressSnapshot) -> bool:
    return recording.live


def _a_number_is_used_again(
    recording: Recording, begun_by: BegunBy, now: datetime, *, segments: bool
) -> Recording | None:
    begun = _begin_take(recording, begun_by, now, segments=segments)
    return begun._replace(take=recording.take) if begun is not None else None


def _parts_go_first(self: Assembling, recording: Recording, parts: Sequence[TakeParts]) -> None:
    self._remove_parts(recording)
    _join(self, recording, parts)


def _the_last_take_comes_first(
    self: Assembling, recording: Recording, objects: Sequence[StoredFile]
) -> list[TakeParts]:
    return _parts(self, recording, objects)[::-1]


def _the_last_take_comes_twice(
    self: Assembling, recording: Recording, objects: Sequence[StoredFile]
) -> list[TakeParts]:
    parts = _parts(self, recording, objects)
    return [*parts, *parts[-1:]]


def _a_pause_frees_the_target(self: MemoryRepository, recording: Recording) -> Recording | None:
    standing = _in_the_way(self, recording)
    return None if standing is not None and standing.status is Status.PAUSED else standing


def _the_dead_of_live_recordings_are_left(context: Context, snapshots: Sequence[EgressSnapshot]) -> None:
    ids = [each.recording_id for each in snapshots if each.recording_id is not None]
    owners = context.adapters.repository.owners(ids)
    final = {owner.id for owner in owners.values() if not owner.live}
    _settle_ended(context, [each for each in snapshots if each.recording_id in final])


def _the_last_file_is_the_recording(recording: Recording, now: datetime) -> Recording:
    with_files = tuple(take for take in recording.takes if take.has_file)
    return _finish(recording._replace(takes=with_files[-1:]), now)._replace(takes=recording.takes)


def _nothing_is_told(ended: tuple[Take, ...], seconds: Mapping[int, float]) -> tuple[Take, ...]:
    return tuple(take._replace(lost_seconds=None) for take in _with_seconds(ended, seconds))


def _nothing_is_left_out(_: Recording, _take: int, _unheard: object) -> float | None:
    return None


def _a_take_stays_in_the_row(recording: Recording, now: datetime) -> Recording:
    return recording._replace(take_ended_at=now)


def _a_wish_is_a_pause(recording: Recording, now: datetime) -> Recording | None:
    if recording.status is not Status.ACTIVE or recording.stop_requested_at is not None:
        return None
    paused = takes.end_take(recording, TakeEnd.PAUSED, now)._replace(status=Status.PAUSED)
    return next_version(recording, paused, now)


@contextmanager
def _instead(owner: object, name: str, saboteur: object) -> Iterator[None]:
    with patch.object(owner, name, saboteur):
        yield


SABOTEURS: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    "a final status is not final": partial(_instead, lifecycle, "apply_snapshot", _final_is_not_final),
    "LiveKit is asked before the row is stored": partial(
        _instead, RecordingService, "start", _start_before_insert
    ),
    "an error counts as a refusal": partial(_instead, LiveKitEgress, "start", _an_error_is_a_refusal),
    "the row is removed before the objects": partial(
        _instead, RecordingService, "_bury", _row_before_objects
    ),
    "events are not leased": partial(_instead, MemoryRepository, "lease_events", _nothing_is_leased),
    "nothing is adopted": partial(_instead, live, "_reports", _nothing_is_adopted),
    "the listing is enough": partial(_instead, verdict, "judge", _the_listing_is_enough),
    "the room is enough": partial(_instead, verdict, "judge", _the_room_is_enough),
    "handlers are never asked": partial(_instead, Context, "ask_handlers", _handlers_are_never_asked),
    "every silence is death": partial(_instead, Context, "ask_handlers", _every_silence_is_death),
    "every clock is right": partial(_instead, lifecycle, "_believed", _every_clock_is_right),
    "deadlines wait for the next sweep": partial(_instead, deadlines, "keep", _nothing_is_waited_for),
    "the dead do not come back": partial(_instead, orphans, "_settle_ended", _nobody_comes_back),
    "a stop is tried only once": partial(_instead, verdict, "_judge_deadlines", _a_stop_is_tried_once),
    "what others record is ours": partial(_instead, egress_info, "_owner", _everything_is_ours),
    "events are forgotten before they are told": partial(
        _instead, outbox, "publish", _events_are_forgotten_first
    ),
    "one page is the whole listing": partial(_instead, livekit_egress, "_all_pages", _one_page_is_all),
    "the key is what was asked for": partial(_instead, egress_info, "_keys", _the_key_is_what_was_asked_for),
    "the bucket is not asked about a file": partial(_instead, Ledger, "_inspected", _the_bucket_is_not_asked),
    "a location is kept with its signature": partial(
        _instead, egress_info, "public_address", _locations_open_files
    ),
    "anything in the folder is the file": partial(_instead, memory, "media_among", _anything_is_the_file),
    "only the recording's folder is emptied": partial(
        _instead, MemoryStorage, "delete", _only_the_folder_is_emptied
    ),
    "an unreadable row frees its target": partial(
        _instead, MemoryRepository, "_in_the_way", _an_unreadable_row_frees_its_target
    ),
    "an unreadable row ends the sweep": partial(
        _instead, MemoryRepository, "lease", _an_unreadable_row_ends_the_sweep
    ),
    "a conflict counts as written": partial(_instead, Ledger, "save", _a_conflict_counts_as_written),
    "writes do not compare": partial(_instead, MemoryRepository, "save", _writes_do_not_compare),
    "takes begin beside each other": partial(_instead, Takes, "_begin", _takes_begin_beside_each_other),
    "a late report changes the status": partial(
        _instead, lifecycle, "_is_current", _every_report_is_of_the_current_take
    ),
    "a take's number is used again": partial(_instead, takes, "begin_take", _a_number_is_used_again),
    "parts are removed before the file is verified": partial(_instead, Assembling, "_join", _parts_go_first),
    "takes are joined out of order": partial(_instead, Assembling, "_parts", _the_last_take_comes_first),
    "a take is joined twice": partial(_instead, Assembling, "_parts", _the_last_take_comes_twice),
    "a pause frees the target": partial(_instead, MemoryRepository, "_in_the_way", _a_pause_frees_the_target),
    "the dead of live recordings are not stopped": partial(
        _instead, orphans, "_settle_ended", _the_dead_of_live_recordings_are_left
    ),
    "the last take's file is the recording": partial(
        _instead, takes, "finish", _the_last_file_is_the_recording
    ),
    "the seconds that are lost are not told": partial(_instead, takes, "with_seconds", _nothing_is_told),
    "what a lost worker records later is joined": partial(
        _instead, takes, "most_seconds", _nothing_is_left_out
    ),
    "a take that is left behind stays in the row": partial(
        _instead, takes, "leave_take", _a_take_stays_in_the_row
    ),
    "a wish to pause is a pause": partial(_instead, lifecycle, "request_pause", _a_wish_is_a_pause),
    "everybody owns everything": partial(_instead, RecordingService, "_own", _everybody_owns_everything),
}
"""By name, what puts the bug in its place for a while."""
