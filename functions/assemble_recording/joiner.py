"""Joining in one bucket, as `recorder.usecases.ports.Joiner`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bucket import Bucket
from joining import (
    CannotJoinError,
    JoiningError,
    Part,
    Take,
    UnreadableError,
    VerificationError,
    join,
    plan,
    verify,
)
from recorder import errors
from recorder.usecases.ports import Joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recorder.domain.recording import StoredFile
    from recorder.usecases.ports import TakeParts

_CONNECTIONS: Final = 32
_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 30
_MIME_TYPE: Final = "video/mp4"


class BucketJoiner:
    """Joins objects of one bucket into another object of it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @classmethod
    def of(cls, name: str) -> Self:
        """Return a joiner with a client of its own: joining reads and writes in many threads."""
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": 5, "mode": "standard"},
            s3={"addressing_style": "auto"},
        )
        return cls(Bucket(boto3.client("s3", config=config), name))

    def join(self, takes: Sequence[TakeParts], key: str) -> Joined:
        """Join and verify; see the port. A damaged part or a failed check counts as a failed run."""
        try:
            upload = self._bucket.upload(key, _MIME_TYPE)
            joined = join(plan(self._bucket, [_take(each) for each in takes]), self._bucket, upload)
            verified = verify(self._bucket, Part(key, joined.size), joined)
        except CannotJoinError as error:
            raise errors.CannotJoinError(str(error)) from error
        except (UnreadableError, VerificationError, JoiningError) as error:
            raise errors.StorageUnavailableError(f"{type(error).__name__}: {error}") from error
        except (BotoCoreError, ClientError) as error:
            raise errors.StorageUnavailableError(type(error).__name__) from error
        seconds = {each.number: each.recorded_seconds for each in joined.takes}
        return Joined(size=verified.size, seconds=verified.seconds, take_seconds=seconds)


def _take(parts: TakeParts) -> Take:
    return Take(
        number=parts.take,
        segments=tuple(_part(each) for each in parts.segments),
        file=_part(parts.file) if parts.file is not None else None,
    )


def _part(file: StoredFile) -> Part:
    return Part(file.key, file.size)
