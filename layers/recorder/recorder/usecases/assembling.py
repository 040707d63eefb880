"""Assembling: the takes of a recording become one file, and only then their parts go.

It may be killed anywhere, run twice at once, and be repeated. Each run writes an object of its own, the row takes one
of them, and parts are removed only once the row names a file that was verified.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from recorder.domain import takes
from recorder.domain.outputs import file_of, kept_in, owner_of, primary_of, segments_of
from recorder.domain.recording import SEGMENTS_PREFIX, AssembledFile, StoredFile, next_version
from recorder.errors import CannotJoinError, StorageUnavailableError
from recorder.telemetry import Code, count, log
from recorder.usecases.ledger import Ledger
from recorder.usecases.ports import TakeParts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Adapters, Joiner

RUNS: Final = 3
"""After so many runs that came to nothing a recording is completed in parts."""
_SEGMENT: Final = re.compile(r"_(\d+)\.ts$")
_SLIVER: Final = 0.3
"""Seconds: a worker ends a segment with a whole frame, and makes none of a remainder that is shorter."""


@dataclass(frozen=True, slots=True)
class Assembling:
    """Joins the takes of recordings. Every method may raise DatabaseUnavailableError."""

    adapters: Adapters
    joiner: Joiner
    maximum_bytes: int
    """Takes that are larger together are completed in parts."""

    def assemble(self, recording_id: UUID) -> None:
        """Join a recording's takes if that is all that is left to do, and remove the parts of one that is assembled.

        What fails is logged; the sweep calls this again.
        """
        recording = self.adapters.repository.get(recording_id)
        if recording is None:
            return
        try:
            if takes.to_be_assembled(recording):
                claimed = self._ledger.save(recording, self._claimed(recording))
                if claimed is not None:
                    self._assemble(claimed)
            elif recording.parts_kept and recording.deleted_at is None:
                self._remove_parts(recording)
        except StorageUnavailableError as error:
            log.warning(Code.ASSEMBLING_FAILED, recording_id=recording_id, reason=str(error))
            count("AssemblingFailed")

    def _claimed(self, recording: Recording) -> Recording:
        """Count the run: the sweep calls no other one while this one may take its time."""
        return next_version(recording, recording._replace(attempts=recording.attempts + 1), self._now)

    def _assemble(self, recording: Recording) -> None:
        # Of a deleted recording the folders are being emptied.
        deleted = recording.deleted_at is not None
        objects = [] if deleted else self.adapters.storage.objects_of(recording)
        kept = kept_in(objects, recording)
        recording = self._ledger.change(recording, lambda row: takes.note_kept(row, kept, self._now))
        parts = self._parts(recording, objects)
        missing = [] if deleted else _missing(recording, parts)
        if missing and recording.attempts <= RUNS:
            raise StorageUnavailableError(f"the bucket lists nothing of take {missing[0]}, which was stored")
        if not parts:
            self._ledger.change(recording, lambda row: takes.fail_empty(row, self._now))
            return
        [only, *others] = parts
        if only.file is not None and not others and not missing:
            file = self._measured(recording, only.take, only.file)
            self._ledger.change(
                recording, lambda row: takes.complete_by_file(row, only.take, file, self._now)
            )
        elif not recording.with_file:
            # Nobody asked for a file: each take keeps its playlist.
            self._keep_apart(recording, parts)
        elif recording.attempts > RUNS:
            self._complete_in_parts(recording, parts, f"{RUNS} runs failed")
        elif _size(parts) > self.maximum_bytes:
            self._complete_in_parts(recording, parts, "the takes are too large to be joined")
        else:
            self._join(recording, parts)

    def _join(self, recording: Recording, parts: Sequence[TakeParts]) -> None:
        key = f"{recording.prefix}{uuid4()}.mp4"
        try:
            joined = self.joiner.join([self._compared(recording, each) for each in parts], key)
        except CannotJoinError as error:
            self._complete_in_parts(recording, parts, str(error))
            return
        file = AssembledFile(key=key, size=joined.size, seconds=joined.seconds)
        told = takes.with_seconds(recording.takes, joined.take_seconds)
        completed = self._ledger.change(
            recording, lambda row: takes.complete_assembled(row, file, told, self._now)
        )
        if completed.storage_key != key:
            # Another run was faster, or the recording was deleted meanwhile.
            self.adapters.storage.remove([key])
            return
        log.info(
            Code.ASSEMBLED, recording_id=recording.id, takes=len(parts), seconds=round(joined.seconds, 3)
        )
        count("RecordingsAssembled")
        # The parts stay until the next sweep: somebody who watches live is still on their way to the end.

    def _keep_apart(self, recording: Recording, parts: Sequence[TakeParts]) -> None:
        files = {each.take: self._measured(recording, each.take, each.file) for each in parts if each.file}
        heard = {take.take for take in recording.takes}
        unheard = [
            takes.unheard(recording, each.take, self._began(recording, each), files[each.take].modified_at)
            for each in parts
            if each.take in files.keys() - heard and each.most_seconds != 0
        ]
        ended = tuple(sorted((*recording.takes, *unheard), key=lambda take: take.take))
        told = takes.with_files(ended, files)
        self._ledger.change(recording, lambda row: takes.complete_in_parts(row, told, self._now))

    def _complete_in_parts(self, recording: Recording, parts: Sequence[TakeParts], reason: str) -> None:
        self._keep_apart(recording, [self._with_file(recording, each) for each in parts])
        log.warning(Code.COMPLETED_IN_PARTS, recording_id=recording.id, reason=reason)
        count("RecordingsInParts")

    def _with_file(self, recording: Recording, part: TakeParts) -> TakeParts:
        """Give a take the file that its worker did not upload, made of its segments, which are not kept for long.

        It lies where the worker would put its own, which replaces it if it comes after all.
        """
        if part.file is not None or part.most_seconds == 0:
            return part
        segment = part.segments[0].key
        place = segment.removesuffix(recording.path_of(segment))
        key = place + file_of(recording, take=part.take).path
        if recording.attempts > 2 * RUNS:
            reason = f"{2 * RUNS} runs failed"
        elif _size([part]) > self.maximum_bytes:
            reason = "the take is too large"
        else:
            try:
                joined = self.joiner.join([part], key)
                return part._replace(file=StoredFile(key=key, size=joined.size, modified_at=self._now))
            except CannotJoinError as error:
                reason = str(error)
        log.warning(Code.TAKE_LEFT_IN_SEGMENTS, recording_id=recording.id, take=part.take, reason=reason)
        return part

    def _remove_parts(self, recording: Recording) -> None:
        """Remove the media that the assembled file holds, and what other runs have stored or begun to."""
        objects = self.adapters.storage.objects_of(recording)
        kept = {part.key for part in recording.parts}
        goes = _is_of_run if recording.storage_key is None else _is_part
        parts = [each.key for each in objects if each.key not in kept and goes(each.key, recording)]
        if parts:
            self.adapters.storage.remove(parts)
        self.joiner.forget_uploads(recording.prefix)
        self._ledger.change(recording, lambda row: takes.parts_removed(row, self._now))

    def _parts(self, recording: Recording, objects: Sequence[StoredFile]) -> list[TakeParts]:
        """Return what the folders hold of each take: the listing counts, not a playlist and not a report."""
        segments: defaultdict[int, list[tuple[int, StoredFile]]] = defaultdict(list)
        files: dict[int, StoredFile] = {}
        for each in objects:
            path = recording.path_of(each.key)
            owner = owner_of(path)
            if owner is None or not each.size:
                continue
            number = _number(path)
            written = segments_of(recording, owner.take)
            if recording.with_file and path.startswith(written.prefix) and number is not None:
                segments[owner.take].append((number, each))
            elif _is_primary(each.key, recording, owner.take):
                files[owner.take] = each
        found = [
            TakeParts(
                take=take,
                segments=tuple(each for _, each in sorted(segments[take], key=lambda pair: pair[0])),
                file=files.get(take),
            )
            for take in sorted({*segments, *files})
        ]
        heard = {take.take for take in recording.takes}
        begun = {each.take: self._began(recording, each) for each in found if each.take not in heard}
        unheard = {take: at for take, at in begun.items() if at is not None}
        return [
            each._replace(most_seconds=takes.most_seconds(recording, each.take, unheard)) for each in found
        ]

    def _began(self, recording: Recording, part: TakeParts) -> datetime | None:
        """Return when a take began, as far as the times tell at which its media was uploaded.

        Each object tells of a time by which it had begun, so the earliest counts: an upload may have been late.
        """
        seconds = segments_of(recording, part.take).seconds
        begun = [
            each.modified_at - timedelta(seconds=seconds * ((_number(each.key) or 0) + 1))
            for each in part.segments
        ]
        if part.file is not None and (length := self._seconds_of(part.file)) is not None:
            begun.append(part.file.modified_at - timedelta(seconds=length))
        return min(begun, default=None)

    def _compared(self, recording: Recording, part: TakeParts) -> TakeParts:
        """Tell whether the last segments of a take are missing, as after an outage that its file survived."""
        if part.file is None or not part.segments:
            return part
        seconds = len(part.segments) * segments_of(recording, part.take).seconds
        return part._replace(ends_early=(self._seconds_of(part.file) or 0.0) > seconds + _SLIVER)

    def _seconds_of(self, file: StoredFile) -> float | None:
        media = self.adapters.storage.inspect(file.key)
        return media.duration if media is not None else None

    def _measured(self, recording: Recording, take: int, file: StoredFile) -> StoredFile:
        """Return a file with its own seconds, and a playlist with the seconds and the size of what it names."""
        size = next((each.hls_size for each in recording.takes if each.take == take), None)
        return file._replace(
            duration=self._seconds_of(file),
            size=file.size if recording.with_file else size or file.size,
        )

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.adapters)

    @property
    def _now(self) -> datetime:
        return self.adapters.clock.now()


def _number(path: str) -> int | None:
    """Return the number of a segment; None for any other object."""
    found = _SEGMENT.search(path)
    return int(found[1]) if found is not None else None


def _missing(recording: Recording, parts: Sequence[TakeParts]) -> list[int]:
    """Return the takes whose file LiveKit has stored, as it says, and of which nothing is there: no gap is silent."""
    held = {each.take for each in parts}
    return [take.take for take in recording.takes if take.has_file and take.take not in held]


def _size(parts: Sequence[TakeParts]) -> int:
    """Return how many bytes are joined: of each take its segments, or where it has none its file."""
    return sum(
        sum(each.size for each in take.segments) or (take.file.size if take.file is not None else 0)
        for take in parts
    )


def _is_primary(key: str, recording: Recording, take: int) -> bool:
    """Tell whether an object is what this take was asked for: its file, or its playlist where no file was."""
    if recording.with_file:
        return _is_file(key, recording, take)
    return primary_of(recording, take=take).names(recording.path_of(key))


def _is_file(key: str, recording: Recording, take: int) -> bool:
    """Tell whether an object is the file of this take: the one that was asked for, or that LiveKit has named.

    The two differ where the release before has begun the recording.
    """
    named = any(each.take == take and each.storage_key == key for each in recording.takes)
    return named or file_of(recording, take=take).names(recording.path_of(key))


def _is_part(key: str, recording: Recording) -> bool:
    """Tell whether an object is what the assembled file was made of, or the upload of another run."""
    path = recording.path_of(key)
    if path.startswith(SEGMENTS_PREFIX):
        return True
    owner = owner_of(path)
    return owner is not None and (_is_of_run(key, recording) or _is_file(key, recording, owner.take))


def _is_of_run(key: str, recording: Recording) -> bool:
    """Tell whether an object is a file that a run has made of all takes."""
    path = recording.path_of(key)
    own = path.removeprefix(recording.prefix)
    return path != own and "/" not in own and own.endswith(".mp4") and own != "recording.mp4"
