"""The stack, or the parts of it that somebody needs, as one context manager.

A test that needs a database and S3, on free ports, gone afterwards:

    with Stack(tmp_path, parts=Part.POSTGRES | Part.AWS, durable=False) as stack:
        url = stack.postgres.url()                                      # postgresql://recorder:...@127.0.0.1:.../recorder
        own = stack.postgres.create_database("test_1", template="recorder")
        stack.aws.s3.put_object(Bucket=stack.aws.bucket, Key="a", Body=b"")
        arn = stack.aws.put_secret("database", {"password": stack.postgres.password})
        stack.aws.endpoint, stack.aws.access_key, stack.aws.secret_key, stack.aws.region
"""

from __future__ import annotations

import enum
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from local.aws import Aws
from local.postgres import Postgres
from local.processes import Processes

if TYPE_CHECKING:
    from pathlib import Path


class Part(enum.Flag):
    """What a stack consists of."""

    POSTGRES = enum.auto()
    AWS = enum.auto()


class Stack:
    """The running parts, with all state in `directory`; a part that was not asked for does not run."""

    def __init__(
        self, directory: Path, *, parts: Part = Part.POSTGRES | Part.AWS, durable: bool = True
    ) -> None:
        self._parts = parts
        self._exit = ExitStack()
        self._processes = Processes(directory / "logs")
        self.postgres = Postgres(directory / "postgres", self._processes, durable=durable)
        self.aws = Aws(directory / "s3", self._processes)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self._processes)
            if Part.POSTGRES in self._parts:
                self.postgres.start()
            if Part.AWS in self._parts:
                self.aws.start()
            self._exit = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()
