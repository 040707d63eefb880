"""Invariant 8: a completed recording plays what its takes recorded, in order, each second once; the rest is told."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from recorder.domain.outputs import owner_of
from recorder.domain.recording import FailureCode, Status, TakeEnd
from simulator.journal import require
from simulator.kernel import SECOND
from simulator.media import missing, seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from recorder.domain.recording import Recording, Take
    from simulator.livekit import Own
    from simulator.media import Content, Span
    from simulator.memory import MemoryStorage
    from simulator.plan import History

_LOST: Final = {TakeEnd.WORKER_LOST, TakeEnd.UPLOAD_FAILED}
_OWN_VERDICTS: Final = {FailureCode.WORKER_LOST, FailureCode.EGRESS_LOST}
_TOLERANCE: Final = 0.3
"""Seconds: a worker ends a segment with a whole frame, and makes none of a sliver."""
_TOLD: Final = 1.0
"""Seconds by which what is told to be lost may differ from what is missing."""
_GUESSED: Final = 2.0
"""Seconds by which the begin of a take that nobody heard of may be guessed wrong, from the times of its uploads."""


class Played:
    """Holds what recordings play against what the bucket has of their takes."""

    def __init__(
        self,
        bucket: MemoryStorage,
        ours: Mapping[str, Own],
        rows: Mapping[UUID, Recording],
        *,
        backed_up: set[str],
        litter: set[str],
        history: History,
    ) -> None:
        self._bucket = bucket
        self._ours = ours
        self._rows = rows
        self._backed_up = backed_up
        self._litter = litter
        self._exact = history.times_are_exact
        self._refuses = history.has("joining_refused")
        """Segments that cannot be joined are no part, so that a recording without files fails."""
        # A file may begin a little before LiveKit says so, and before its segments.
        self._tolerance = 2.0 if history.has("duration_short") else _TOLERANCE
        self._known_until: dict[UUID, datetime] = {}
        """The time by which an object has to lie in the bucket to be in the file: the listing was made then."""

    def changed(self, before: Recording, after: Recording) -> None:
        """Take note of a change, and check what it says of the recording's seconds."""
        if (
            after.id not in self._known_until
            and after.status is Status.STOPPING
            and after.attempts > before.attempts
        ):
            self._known_until[after.id] = after.updated_at
        if before.live and not after.live and after.deleted_at is None and not self._is_doubtful(after):
            until = self._known_until.setdefault(after.id, before.updated_at)
            if after.status is Status.COMPLETED:
                self._check_completed(after, until)
            elif after.late_upload_until is None and not after.downloadable and not self._refuses:
                self._check_failed(after, until)

    def check_removal(self, keys: Sequence[str]) -> None:
        """Check that no part goes before its seconds are in the file that its recording names."""
        for key in keys:
            owner = owner_of(key.removeprefix("pre/"))
            row = self._rows.get(owner.recording_id) if owner is not None else None
            if row is None or row.deleted_at is not None or self._is_doubtful(row):
                continue
            require(holds=row.live or key != row.storage_key, otherwise=f"8: {row.id} loses its file")
            if self._stored_by(row, key):
                others = [each for each in self._content_of(row) if each != key]
                left = [row.storage_key or ""] if row.status is Status.COMPLETED else others
                gone = self._unplayed(row, [key], self._played(left))
                require(
                    holds=not gone, otherwise=f"8: {key} goes, and its seconds are not in the file: {gone}"
                )

    def unsettled(self) -> str | None:
        """Say which recording plays something else in the end than when it was completed."""
        for row in self._rows.values():
            if row.status is Status.COMPLETED and row.deleted_at is None and not self._is_doubtful(row):
                played = self._played([part.key for part in row.parts])
                problem = self._disorder(row, played)
                if problem:
                    return f"8: {row.id} {problem}"
        return None

    def _is_doubtful(self, row: Recording) -> bool:
        """Whether two egress wrote into one folder, or what was recorded lies elsewhere."""
        mine = [(egress_id, own) for egress_id, own in self._ours.items() if own.recording_id == row.id]
        return any(own.doubled or egress_id in self._backed_up for egress_id, own in mine)

    def _check_completed(self, row: Recording, until: datetime) -> None:
        keys = [part.key for part in row.parts]
        played = self._played(keys)
        problem = self._disorder(row, played)
        require(holds=problem is None, otherwise=f"8: {row.id} {problem}")
        recorded = [key for key in self._content_of(row) if self._bucket.objects[key].modified_at <= until]
        if row.storage_key is None:
            recorded = keys
        gone = self._unplayed(row, recorded, played)
        require(holds=not gone, otherwise=f"8: {row.id} does not play what was recorded: {gone}")
        self._check_told(row, played)

    def _check_failed(self, row: Recording, until: datetime) -> None:
        kept = [key for key in self._content_of(row) if self._bucket.objects[key].modified_at <= until]
        require(
            holds=not kept, otherwise=f"8: {row.id} failed by {row.failure_code}, and has {len(kept)} objects"
        )

    def _content_of(self, row: Recording) -> list[str]:
        """Give the keys of what lies in the folders of a recording and plays."""
        return [
            each.key
            for each in self._bucket.objects_of(row)
            if each.key not in self._litter and self._bucket.contents[each.key]
        ]

    def _stored_by(self, row: Recording, key: str) -> bool:
        file, until = self._bucket.objects.get(key), self._known_until.get(row.id)
        return file is not None and (until is None or file.modified_at <= until)

    def _played(self, keys: Sequence[str]) -> Content:
        return tuple(span for key in keys for span in self._bucket.contents.get(key, ()))

    def _take_of(self, span: Span) -> int:
        return self._ours[span.egress_id].take

    def _disorder(self, row: Recording, played: Content) -> str | None:
        """Say where it does not play its takes in order, each second once: parts stay as they are."""
        joined = row.storage_key is not None
        heard = {take.egress_id for take in row.takes}
        for before, after in pairwise(played):
            same = before.egress_id == after.egress_id
            if self._take_of(after) < self._take_of(before):
                return f"plays take {self._take_of(after)} after take {self._take_of(before)}"
            twice = (before.end - after.begin) / SECOND
            told = heard.issuperset({before.egress_id, after.egress_id})
            allowed = self._tolerance if told else _GUESSED
            if twice > (0 if same else allowed) and (same or (joined and self._exact)):
                return f"plays {twice} s twice"
        return None

    def _unplayed(self, row: Recording, keys: Sequence[str], played: Content) -> list[str]:
        """Say which seconds of these objects are not played, and ought to be."""
        wanted = self._played(keys)
        lacking = [span for span in missing(wanted, played) if seconds_of([span]) > self._tolerance]
        return [str(span) for span in lacking if not self._is_cut(row, span, played)]

    def _is_cut(self, row: Recording, span: Span, played: Content) -> bool:
        """Whether a take that was lost, or never heard of, recorded it beside the next one, or after it was to end."""
        ended = [take for take in row.takes if take.egress_id == span.egress_id]
        if ended and not _given_up(ended[0]):
            return False
        number = self._take_of(span)
        following = [take.started_at for take in row.takes if take.take > number and take.started_at]
        ends = following[:1] + [take.stopped_at for take in ended if take.end_reason is TakeEnd.PAUSED]
        cuts = [at.timestamp() - self._tolerance for at in ends]
        heard = {take.egress_id for take in row.takes}
        cuts += [
            each.begin / SECOND - _GUESSED
            for each in played
            if self._take_of(each) > number and each.egress_id not in heard
        ]
        return bool(cuts) and (not self._exact or span.begin / SECOND >= min(cuts))

    def _check_told(self, row: Recording, played: Content) -> None:
        if not self._exact or row.storage_key is None:
            return
        for take, following in pairwise(row.takes):
            mine = [span for span in played if span.egress_id == take.egress_id]
            theirs = [span for span in played if span.egress_id == following.egress_id]
            if take.end_reason not in _LOST or not mine or not theirs:
                continue
            gap = max(0.0, (_began(following, theirs) - _began(take, mine)) / SECOND - seconds_of(mine))
            told = take.lost_seconds or 0.0
            require(
                holds=abs(gap - told) <= max(_TOLD, self._tolerance),
                otherwise=f"8: {row.id} lacks {gap} s after take {take.take}, and tells of {told}",
            )


def _began(take: Take, spans: Sequence[Span]) -> int:
    """Return when a take began: also its first segment may be missing."""
    began = spans[0].begin
    return began if take.started_at is None else min(began, int(take.started_at.timestamp() * SECOND))


def _given_up(take: Take) -> bool:
    return take.failure_code in _OWN_VERDICTS or take.end_reason is TakeEnd.WORKER_LOST
