"""Runs as a Lambda function in the place of one of the product's, and times that one's handler from the inside."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING

from recorder.ahead import CONNECTION
from recorder.bootstrap import environment
from recorder.database import Database

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from recorder.database import Connection, Parameter, Row


class _Timed:
    """A connection that adds up how long its statements took."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.seconds = 0.0

    def execute(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        start = time.perf_counter()
        rows = self._connection.execute(statement, values)
        self.seconds += time.perf_counter() - start
        return rows

    def close(self) -> None:
        self._connection.close()


def lambda_handler(event: dict[str, object], context: LambdaContext) -> list[float]:
    """Return for each of `times` invocations with `request` the milliseconds that were not the database's.

    `folder` is that of the product's function.
    """
    sys.path.insert(0, str(event["folder"]))
    timed = _Timed(CONNECTION.take())
    environment.get().made["database"] = Database(lambda: timed)
    handler = import_module("app").lambda_handler
    measured: list[float] = []
    with redirect_stdout(StringIO()):
        for _ in range(int(str(event["times"]))):
            timed.seconds = 0.0
            start = time.perf_counter()
            handler(event["request"], context)
            measured.append((time.perf_counter() - start - timed.seconds) * 1000)
    return measured
