"""Every statement of the product has its plan asserted at size, as Postgres makes it for the parameters sent."""

from __future__ import annotations

import inspect
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

import pytest
from pg8000 import native

from bench.rows import HEAVY_USER, REFERENCE, ROOM, fill, fill_links, fill_outbox
from local.processes.children import LOOPBACK
from local.services.postgres import USER
from recorder.contract.event import event_json
from recorder.domain.recording import Status
from recorder.domain.shares import ShareLink
from recorder.domain.sources import Source
from recorder.postgres import links, repository
from recorder.postgres.database import Database
from recorder.postgres.links import PostgresLinks
from recorder.postgres.repository import Repository
from recorder.usecases.ports import Page
from tests.support.database import connect
from tests.support.recordings import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.stack import Stack
    from recorder.postgres.login import Connection, Parameter, Row

# One process, for one filling of the table.
pytestmark = pytest.mark.xdist_group("plans")

type Plan = dict[str, object]

ROWS = 200_000
LIMIT = 51
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=50)
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""Row n was made n seconds later."""
MIDDLE = MADE_AT + timedelta(days=1)
AN_ID = UUID(int=100_000)
OCCUPIED = "room:9850"
"""The target of an active recording."""


class Explaining:
    """Asks Postgres how it would run each statement, with the very parameters, and then runs it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.statements: list[str] = []
        self.plans: list[Plan] = []

    def execute(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        [[[explained]]] = cast(
            "list[list[list[Plan]]]", self._connection.execute(f"explain (format json) {statement}", values)
        )
        self.statements.append(statement)
        self.plans.append(cast("Plan", explained["Plan"]))
        return self._connection.execute(statement, values)

    def close(self) -> None:
        self._connection.close()


class Explained:
    """A repository at size, and what Postgres planned for its last statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = Explaining(connection)
        database = Database(lambda: self._connection)
        self.repository = Repository(database, event_json=event_json)
        self.links = PostgresLinks(database)

    def nodes(self) -> list[Plan]:
        """Return all nodes of the last statement's plan but those that find the takes of a row; none reads a table."""
        nodes = list(_nodes(self._connection.plans[-1]))
        of_takes = [each for node in nodes if _finds_takes(node) for each in _nodes(node)]
        assert indexes(of_takes) <= {"recording_takes_pkey"}
        nodes = [node for node in nodes if node not in of_takes]
        assert not [node for node in nodes if node["Node Type"] == "Seq Scan"], json.dumps(nodes[0], indent=1)
        return nodes

    @property
    def last(self) -> str:
        """The last statement."""
        return self._connection.statements[-1]


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in cast("list[Plan]", plan.get("Plans", [])):
        yield from _nodes(child)


def _finds_takes(node: Plan) -> bool:
    """Tell whether a node is the look-up that Postgres makes for a row that has several takes, and for no other."""
    below = [str(each.get("Relation Name")) for each in _nodes(node) if "Relation Name" in each]
    return node.get("Parent Relationship") == "SubPlan" and set(below) == {"recording_takes"}


def indexes(nodes: list[Plan]) -> set[str]:
    return {str(node["Index Name"]) for node in nodes if "Index Name" in node}


def kinds(nodes: list[Plan]) -> set[str]:
    return {str(node["Node Type"]) for node in nodes}


def conditions(nodes: list[Plan]) -> str:
    """Return what decides which entries of indexes are visited."""
    return " ".join(str(node.get("Index Cond", "")) for node in nodes)


@pytest.fixture(scope="module")
def at_size(stack: Stack) -> Iterator[Connection]:
    name = f"plans_{uuid4().hex}"
    postgres = stack.postgres
    postgres.create_database(name, template="migrated")
    with native.Connection(USER, LOOPBACK, name, postgres.port, postgres.password) as connection:
        fill(connection, ROWS, heavy_every=10, users=2_003)
        fill_outbox(connection, 20_000)
        fill_links(connection, 50_000)
    with closing(connect(postgres, name)) as connection:
        yield connection
    postgres.drop_database(name)


@pytest.fixture
def explained(at_size: Connection) -> Iterator[Explained]:
    at_size.execute("begin", ())
    yield Explained(at_size)
    at_size.execute("rollback", ())


# The first page, the page after a cursor, and both within a window.
@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("after", [None, (MIDDLE, AN_ID)], ids=["first page", "next page"])
@pytest.mark.parametrize("window", [False, True], ids=["", "from and to"])
@pytest.mark.parametrize(
    ("room_name", "status", "index"),
    [
        (None, None, "recordings_by_user"),
        (ROOM, None, "recordings_by_user_and_room"),
        (None, Status.COMPLETED, "recordings_by_user_and_status"),
        (None, Status.FAILED, "recordings_by_user_and_status"),
        (ROOM, Status.COMPLETED, "recordings_by_user_and_room"),
    ],
)
def test_a_page_is_read_in_order_from_its_index(
    explained: Explained,
    room_name: str | None,
    status: Status | None,
    index: str,
    *,
    oldest_first: bool,
    after: tuple[datetime, UUID] | None,
    window: bool,
) -> None:
    page = Page(
        user_id=HEAVY_USER,
        limit=LIMIT,
        oldest_first=oldest_first,
        room_name=room_name,
        status=status,
        after=after,
    )
    if window:
        page = page._replace(created_from=MIDDLE - timedelta(hours=9), created_to=MIDDLE + timedelta(hours=9))

    assert len(explained.repository.page(page, NOW)) == LIMIT

    nodes = explained.nodes()
    assert kinds(nodes) == {"Limit", "Index Scan"}
    assert indexes(nodes) == {index}
    decided = conditions(nodes)
    assert all(
        name in decided
        for name, given in [
            ("user_id", True),
            ("room_name", room_name),
            ("status", status),
            ("ROW(created_at, id)", after),
            ("created_at >=", window),
            ("created_at <", window),
        ]
        if given
    )


@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("after", [None, (MIDDLE, AN_ID)], ids=["first page", "next page"])
@pytest.mark.parametrize(
    ("source", "reference", "index"),
    [
        (Source.TRACK, None, "recordings_by_user_and_source"),
        (None, REFERENCE, "recordings_by_user_and_reference"),
        (Source.ROOM_COMPOSITE, REFERENCE, "recordings_by_user_and_reference"),
    ],
)
def test_a_page_of_a_kind_or_reference_is_read_in_order_from_its_index(
    explained: Explained,
    source: Source | None,
    reference: str | None,
    index: str,
    *,
    oldest_first: bool,
    after: tuple[datetime, UUID] | None,
) -> None:
    page = Page(
        user_id=HEAVY_USER,
        limit=LIMIT,
        oldest_first=oldest_first,
        source=source,
        reference=reference,
        after=after,
    )

    assert len(explained.repository.page(page, NOW)) == LIMIT

    nodes = explained.nodes()
    assert kinds(nodes) == {"Limit", "Index Scan"}
    assert indexes(nodes) == {index}
    decided = conditions(nodes)
    assert ("reference" if reference else "source") in decided
    assert ("ROW(created_at, id)" in decided) == (after is not None)


def test_the_usual_kind_is_read_in_order_from_either_index(explained: Explained) -> None:
    page = Page(user_id=HEAVY_USER, limit=LIMIT, source=Source.ROOM_COMPOSITE)

    assert len(explained.repository.page(page, NOW)) == LIMIT

    nodes = explained.nodes()
    assert kinds(nodes) == {"Limit", "Index Scan"}
    assert indexes(nodes) <= {"recordings_by_user", "recordings_by_user_and_source"}


@pytest.mark.parametrize("source", [Source.WEB, Source.PARTICIPANT])
def test_a_kind_that_a_user_has_none_of_visits_nothing(explained: Explained, source: Source) -> None:
    assert explained.repository.page(Page(user_id=HEAVY_USER, limit=LIMIT, source=source), NOW) == []

    nodes = explained.nodes()
    assert "source" in conditions(nodes)
    assert all(cast("int", node["Plan Rows"]) < LIMIT for node in nodes)


@pytest.mark.parametrize("room_name", [None, ROOM])
@pytest.mark.parametrize("status", [Status.FAILED, Status.ACTIVE])
def test_filters_that_leave_little_visit_little(
    explained: Explained, room_name: str | None, status: Status
) -> None:
    since = MADE_AT + timedelta(seconds=99_600)
    page = Page(
        user_id=HEAVY_USER,
        limit=LIMIT,
        room_name=room_name,
        status=status,
        created_from=since,
        created_to=since + timedelta(seconds=300),
    )

    assert 0 < len(explained.repository.page(page, NOW)) < LIMIT

    # Postgres may read less than a page in any order, and sort it.
    nodes = explained.nodes()
    assert all(cast("int", node["Plan Rows"]) < LIMIT for node in nodes)
    assert indexes(nodes) <= {"recordings_by_user_and_room", "recordings_by_user_and_status"}


def test_what_stands_in_the_way_of_an_insert_is_found_by_three_indexes(explained: Explained) -> None:
    new = recording(user_id=HEAVY_USER, target=OCCUPIED, idempotency_key="another")
    standing = explained.repository.insert(new)
    assert standing is not None
    assert standing.target == OCCUPIED
    nodes = explained.nodes()
    assert indexes(nodes) == {"recordings_pkey", "recordings_live_target", "recordings_idempotency"}
    assert all(cast("int", node["Plan Rows"]) < 10 for node in nodes)


@pytest.mark.parametrize(
    ("now", "number"),
    [(MADE_AT + timedelta(seconds=8), 1), (MADE_AT + timedelta(hours=4), 215), (NOW, 1000)],
    ids=["one tombstone", "few", "many"],
)
def test_due_rows_are_leased_in_order_of_their_index(
    explained: Explained, now: datetime, number: int
) -> None:
    assert len(explained.repository.lease(now, LATER, 1000, refreshed_at=NOW)) == number
    nodes = explained.nodes()
    assert "Sort" not in kinds(nodes)
    assert indexes(nodes) == {"recordings_due", "recordings_pkey"}
    assert "due_at <=" in conditions(nodes)
    # Of a join Postgres may make one with the whole table, at half of this size.
    assert "ANY ((InitPlan" in conditions(nodes)


def test_unpublished_events_are_leased_in_order_of_their_key(explained: Explained) -> None:
    assert len(explained.repository.lease_events(NOW, LATER, 100)) == 100
    nodes = explained.nodes()
    assert "Sort" not in kinds(nodes)
    assert indexes(nodes) == {"recording_events_pkey", "recording_events_recording_id_sequence_key"}
    assert "ANY ((InitPlan" in conditions(nodes)


def save(recordings: Repository) -> None:
    before = recordings.get(AN_ID)
    assert before is not None
    assert recordings.save(before, before._replace(status=Status.FAILED, updated_at=NOW, version=1))


def save_all(recordings: Repository) -> None:
    found = recordings.get_all(THOUSAND[:100]).values()
    changes = [
        (before, before._replace(status=Status.FAILED, updated_at=NOW, version=before.version + 1))
        for before in found
    ]
    assert len(recordings.save_all(changes)) == 100


def remove(recordings: Repository) -> None:
    buried = recordings.get(AN_ID)
    assert buried is not None
    assert recordings.remove(buried)


THOUSAND = [UUID(int=n) for n in range(1, 1001)]
STATEMENTS: Mapping[str, tuple[Callable[[Repository], object], set[str]]] = {
    "GET": (lambda recordings: recordings.get(AN_ID), {"recordings_pkey"}),
    "FIND_BY_EGRESS_ID": (
        lambda recordings: recordings.find_by_egress_id("EG_100000"),
        {"recordings_by_egress"},
    ),
    "SAVE": (save, {"recordings_pkey"}),
    "REMOVE": (remove, {"recordings_pkey"}),
    "REFRESHED": (lambda recordings: recordings.refreshed(AN_ID, NOW), {"recordings_pkey"}),
    "GET_ALL": (lambda recordings: recordings.get_all(THOUSAND), {"recordings_pkey"}),
    "SAVE_ALL": (save_all, {"recordings_pkey"}),
    "LIMITED": (lambda recordings: recordings.limited(NOW, 1000), {"recordings_due"}),
    "MAKE_DUE": (lambda recordings: recordings.make_due(THOUSAND, NOW), {"recordings_pkey"}),
    "DELETE_EVENTS": (lambda recordings: recordings.delete_events(range(1, 101)), {"recording_events_pkey"}),
    "BACKLOG": (lambda recordings: recordings.backlog(NOW), {"recordings_due", "recording_events_pkey"}),
}
ABOVE = {"INSERT", "LEASE", "LEASE_EVENTS", "LIST_NEWEST_FIRST", "LIST_OLDEST_FIRST"}
"""Statements that have a test of their own."""


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_needs_no_order_finds_its_rows_by_key(explained: Explained, name: str) -> None:
    run, expected = STATEMENTS[name]
    run(explained.repository)
    assert explained.last == native.to_statement(getattr(repository, name))[0]
    nodes = explained.nodes()
    assert "Sort" not in kinds(nodes)
    assert indexes(nodes) == expected


LINK = ShareLink(id=UUID(int=5), recording_id=AN_ID, expires_at=LATER, may_download=False)
OF_LINKS: Mapping[str, tuple[Callable[[PostgresLinks], object], set[str]]] = {
    "INSERT": (
        lambda links: links.insert(LINK, b"hash", NOW, most=100),
        {"recordings_pkey", "recording_links_pkey", "recording_links_by_recording"},
    ),
    "OF_RECORDING": (lambda links: links.of_recording(AN_ID, NOW), {"recording_links_by_recording"}),
    "FIND": (lambda links: links.find(b"7", NOW), {"recording_links_token_hash_key", "recordings_pkey"}),
    "STANDS": (lambda links: links.stands(UUID(int=7), AN_ID, NOW), {"recording_links_pkey"}),
    "REMOVE": (lambda links: links.remove(UUID(int=7), AN_ID), {"recording_links_pkey"}),
}


@pytest.mark.parametrize("name", OF_LINKS)
def test_links_are_found_by_key(explained: Explained, name: str) -> None:
    run, expected = OF_LINKS[name]
    run(explained.links)
    assert explained.last == native.to_statement(getattr(links, name))[0]
    assert indexes(explained.nodes()) == expected


def test_no_statement_of_links_is_left_out() -> None:
    constants = {
        name
        for name, value in vars(links).items()
        if name.isupper() and name[0] != "_" and isinstance(value, str)
    }
    assert constants == OF_LINKS.keys()


def test_no_statement_is_left_out() -> None:
    constants = {
        name
        for name, value in inspect.getmembers(repository)
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert constants == STATEMENTS.keys() | ABOVE
