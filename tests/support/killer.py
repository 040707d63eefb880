"""Kills a function at any of its calls to the outside, of which it needs to know none."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Final, Self
from unittest.mock import patch

from aiohttp import ClientSession

from recorder.postgres.login import _Pg8000Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from aiohttp import ClientResponse

    from recorder.postgres.login import Parameter, Row

    type Execute = Callable[[_Pg8000Connection, str, tuple[Parameter, ...]], list[Row]]

_STATEMENT: Final = 60


class Killed(BaseException):
    """The process is gone. What still runs of it while this passes through reaches the outside no more."""


class Killer:
    """Stands at the doors of a process: its database connections, and HTTP by the standard library and by aiohttp.

    boto3 and the product's own requests go through the first, livekit-api through the second. There is a point behind
    the effect of each call: whether its answer arrived before the end, or even the next call was about to be made, is
    the same to the outside.
    """

    def __init__(self) -> None:
        self.points: list[str] = []
        self._kill_at: int | None = None
        self._thread: int | None = None
        self._gone = False
        self._address = ""
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        for owner, name, guarded in (
            (_Pg8000Connection, "execute", self._statement(_Pg8000Connection.execute)),
            (HTTPConnection, "putrequest", self._request(HTTPConnection.putrequest)),
            (HTTPConnection, "getresponse", self._response(HTTPConnection.getresponse)),
            (ClientSession, "_request", self._call(ClientSession._request)),
        ):
            self._undo.enter_context(patch.object(owner, name, guarded))
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @contextmanager
    def process(self, kill_at: int | None) -> Iterator[None]:
        """Let what this thread does be a process that is killed at the point of that number, counted from 1."""
        self.points, self._kill_at, self._gone = [], kill_at, False
        self._thread = threading.get_ident()
        try:
            yield
        except Killed:
            pass
        finally:
            self._thread = None

    def point(self, name: str) -> None:
        """Pass a point that is named after what has just had its effect."""
        self._check()
        if threading.get_ident() == self._thread:
            self.points.append(name)
            self._gone = len(self.points) == self._kill_at
            self._check()

    def _check(self) -> None:
        if self._gone and threading.get_ident() == self._thread:
            raise Killed

    def _statement(self, execute: Execute) -> Execute:
        def guarded(
            connection: _Pg8000Connection, statement: str, values: tuple[Parameter, ...]
        ) -> list[Row]:
            name = " ".join(statement.split())[:_STATEMENT]
            self._check()
            rows = execute(connection, statement, values)
            self.point(name)
            return rows

        return guarded

    def _request[**P](self, putrequest: Callable[P, None]) -> Callable[P, None]:
        def guarded(*arguments: P.args, **named: P.kwargs) -> None:
            _, method, url, *_ = arguments
            self._address = f"{method} {str(url).partition('?')[0]}"
            self._check()
            putrequest(*arguments, **named)

        return guarded

    def _response[**P, T](self, getresponse: Callable[P, T]) -> Callable[P, T]:
        def guarded(*arguments: P.args, **named: P.kwargs) -> T:
            response = getresponse(*arguments, **named)
            self.point(self._address)
            return response

        return guarded

    def _call[**P](
        self, call: Callable[P, Awaitable[ClientResponse]]
    ) -> Callable[P, Awaitable[ClientResponse]]:
        async def guarded(*arguments: P.args, **named: P.kwargs) -> ClientResponse:
            self._check()
            answer = await call(*arguments, **named)
            try:
                self.point(str(arguments[2]).rpartition("/")[2])
            except Killed:
                # As the system does with the sockets of a process that is gone.
                answer.close()
                raise
            return answer

        return guarded
