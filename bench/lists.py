"""Pages of a list in a table of any size beside those of a small one, as the repository reads them."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Final, cast

from bench.report import Figure
from bench.rows import HEAVY_USER, ROOM, fill
from local.processes.children import LOOPBACK
from local.services.postgres import DATABASE, USER
from recorder.domain.recording import Status
from recorder.postgres.database import Database
from recorder.postgres.login import open_connection
from recorder.postgres.repository import Repository
from recorder.settings import DatabaseSettings
from recorder.usecases.ports import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from bench.laboratory import Laboratory

SMALL: Final = 1000
LIMIT: Final = 50
DEPTH: Final = 1000
TIMES: Final = 200
GOAL: Final = 1.2
_NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)

FILTERS: Final = {
    "no filter": Page(user_id=HEAVY_USER, limit=LIMIT + 1),
    "by room": Page(user_id=HEAVY_USER, limit=LIMIT + 1, room_name=ROOM),
    "by status": Page(user_id=HEAVY_USER, limit=LIMIT + 1, status=Status.COMPLETED),
    "by room and status": Page(user_id=HEAVY_USER, limit=LIMIT + 1, room_name=ROOM, status=Status.COMPLETED),
}


@dataclass(frozen=True)
class _Table:
    name: str
    repository: Repository


def lists(laboratory: Laboratory, rows: int, report: Callable[[str], None]) -> Iterator[Figure]:
    """Yield for each filter how much longer the first and a deep page take at size than the first of 1,000 rows."""
    with ExitStack() as ends:
        small = _table(laboratory, "small", SMALL, heavy_every=1, ends=ends, report=report)
        large = _table(laboratory, "large", rows, heavy_every=10, ends=ends, report=report)
        for name, first in FILTERS.items():
            report(f"list {name}")
            depth, position = _deep(laboratory, large, first)
            pages = ((small, first), (large, first), (large, first._replace(after=position)))
            reference, *others = _milliseconds(pages)
            for label, value in zip(("first page", f"page {depth:,}"), others, strict=True):
                yield Figure(
                    name=f"list {name}: {label} at {rows:,} rows over the first at {SMALL:,}",
                    value=value / reference,
                    unit="x",
                    goal=GOAL,
                    raw={"ms": round(value, 2), f"ms at {SMALL:,}": round(reference, 2)},
                )


def _table(
    laboratory: Laboratory,
    name: str,
    rows: int,
    *,
    heavy_every: int,
    ends: ExitStack,
    report: Callable[[str], None],
) -> _Table:
    report(f"list: filling a table with {rows:,} rows")
    laboratory.make_rows("select 1")
    postgres = laboratory.stack.postgres
    postgres.create_database(name, template=DATABASE)
    ends.callback(postgres.drop_database, name)
    with laboratory.connect(name) as connection:
        fill(connection, rows, heavy_every=heavy_every, users=rows // 100 + 1)
    settings = DatabaseSettings(
        host=LOOPBACK,
        port=postgres.port,
        name=name,
        user=USER,
        iam=False,
        secret_arn="",
        tls=False,
        ca_bundle="",
    )
    database = ends.enter_context(closing(Database(lambda: open_connection(settings, postgres.password))))
    return _Table(name, Repository(database, event_json=None))


def _deep(laboratory: Laboratory, table: _Table, first: Page) -> tuple[int, tuple[datetime, UUID]]:
    """Return the number of the thousandth page, or the last that is full, and the position before it."""
    with laboratory.connect(table.name) as connection:
        listed = """
            from recordings
            where user_id = :user_id and deleted_at is null and (expires_at is null or expires_at > :now)
            and (cast(:room_name as text) is null or room_name = :room_name)
            and (cast(:status as text) is null or status = :status)"""
        parameters = {
            "user_id": first.user_id,
            "now": _NOW,
            "room_name": first.room_name,
            "status": first.status and first.status.value,
        }
        [[number]] = connection.run(f"select count(*) {listed}", **parameters) or []
        depth = min(DEPTH, cast("int", number) // LIMIT - 1)
        [[created_at, recording_id]] = (
            connection.run(
                f"select created_at, id {listed} order by created_at desc, id desc offset :skipped limit 1",
                **parameters,
                skipped=(depth - 1) * LIMIT - 1,
            )
            or []
        )
    return depth, (cast("datetime", created_at), cast("UUID", recording_id))


def _milliseconds(pages: tuple[tuple[_Table, Page], ...]) -> list[float]:
    """Return the median time of each page, read in turn."""
    measured: list[list[float]] = [[] for _ in pages]
    for _ in range(TIMES):
        for (table, page), times in zip(pages, measured, strict=True):
            start = time.perf_counter()
            found = table.repository.page(page, _NOW)
            times.append((time.perf_counter() - start) * 1000)
            if len(found) != page.limit:
                raise RuntimeError(f"a page of {len(found)} is no page of {page.limit}")
    return [median(times) for times in measured]
