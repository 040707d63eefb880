"""Runs as a Lambda function in the place of one of the product's, and times that one's handler from the inside."""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from http import HTTPStatus
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING

from recorder.bootstrap import CONNECTION, current
from recorder.contract.event import event_json
from recorder.postgres.database import Database
from recorder.postgres.repository import Repository

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from recorder.postgres.login import Connection, Parameter, Row


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


def lambda_handler(event: dict[str, object], context: LambdaContext) -> list[list[float]]:
    """Return for each of `times` invocations the milliseconds, and those of them that were not the database's.

    `folder` is that of the product's function. In `request`, the text `numbered` becomes the invocation's number.
    Raises RuntimeError where one is refused.
    """
    sys.path.insert(0, str(event["folder"]))
    timed = _Timed(CONNECTION.take())
    current().repository = Repository(Database(lambda: timed), event_json=event_json)
    handler = import_module("app").lambda_handler
    request, numbered = json.dumps(event["request"]), str(event["numbered"])
    measured: list[list[float]] = []
    with redirect_stdout(StringIO()):
        for number in range(int(str(event["times"]))):
            this = json.loads(request.replace(numbered, f"{number:012}") if numbered else request)
            timed.seconds = 0.0
            start = time.perf_counter()
            answer = handler(this, context)
            seconds = time.perf_counter() - start
            if answer["statusCode"] >= HTTPStatus.BAD_REQUEST:
                raise RuntimeError(answer["body"])
            measured.append([seconds * 1000, (seconds - timed.seconds) * 1000])
    return measured
