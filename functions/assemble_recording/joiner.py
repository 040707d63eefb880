"""Joining in one bucket, as `recorder.usecases.ports.Joiner`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from bucket import Bucket
from joining import CannotJoinError, JoiningError, Part, Take, join, plan, verify
from recorder import errors
from recorder.usecases.ports import Joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    import joining
    from recorder.domain.recording import StoredFile
    from recorder.settings import AwsSettings
    from recorder.usecases.ports import TakeParts

_MIME_TYPE: Final = "video/mp4"


class BucketJoiner:
    """Joins objects of one bucket into another object of it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @classmethod
    def of(cls, name: str, settings: AwsSettings) -> Self:
        """Return a joiner with connections of its own: joining reads and writes in many threads."""
        return cls(Bucket(name, settings))

    def join(self, takes: Sequence[TakeParts], key: str) -> Joined:
        """Join and verify; see the port. A damaged part or a failed check is a failed run."""
        try:
            upload = self._bucket.upload(key, _MIME_TYPE)
            joined = join(plan(self._bucket, [_take(each) for each in takes]), self._bucket, upload)
            check_all_there(takes, joined)
            verified = verify(self._bucket, Part(key, joined.size), joined)
        except CannotJoinError as error:
            raise errors.CannotJoinError(str(error)) from error
        except JoiningError as error:
            raise errors.StorageUnavailableError(f"{type(error).__name__}: {error}") from error
        except errors.AwsError as error:
            raise errors.StorageUnavailableError(str(error)) from error
        seconds = dict.fromkeys(joined.empty, 0.0)
        seconds |= {each.number: each.recorded_seconds for each in joined.takes}
        return Joined(size=verified.size, seconds=verified.seconds, take_seconds=seconds)

    def forget_uploads(self, folder: str) -> None:
        """Abort what was begun and not ended; see the port."""
        try:
            self._bucket.abort_uploads(folder)
        except errors.AwsError as error:
            raise errors.StorageUnavailableError(str(error)) from error


def check_all_there(takes: Sequence[TakeParts], joined: joining.Joined) -> None:
    """Raise StorageUnavailableError if a take is neither joined nor empty: its parts must not be removed."""
    missing = {each.take for each in takes} ^ {*(each.number for each in joined.takes), *joined.empty}
    if missing:
        numbers = ", ".join(map(str, sorted(missing)))
        raise errors.StorageUnavailableError(f"takes {numbers} were not joined")


def _take(parts: TakeParts) -> Take:
    return Take(
        number=parts.take,
        segments=tuple(_part(each) for each in parts.segments),
        file=_part(parts.file) if parts.file is not None else None,
        ends_early=parts.ends_early,
        most_seconds=parts.most_seconds,
    )


def _part(file: StoredFile) -> Part:
    return Part(file.key, file.size)
