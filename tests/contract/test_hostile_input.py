"""Postgres takes every text that the parsers let through: no input is understood first and fails afterwards."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from livekit.protocol import egress as protocol

from recorder.api.endpoint import Request
from recorder.api.paging import CURSOR, PARAMETERS, page_of
from recorder.contract.event import event_json
from recorder.contract.requests import StartRequest
from recorder.domain.lifecycle import apply_snapshot
from recorder.domain.recording import Status
from recorder.domain.schedule import Policy
from recorder.errors import InvalidRequestError
from recorder.livekit.webhook import snapshot_in
from recorder.postgres.database import Database
from recorder.postgres.repository import Repository
from recorder.settings import StorageSettings
from tests.support.database import connect
from tests.support.recordings import T0, recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack

STORAGE: Final = StorageSettings(bucket="recordings", deployment="test")
INT64: Final = st.integers(min_value=-(2**63), max_value=2**63 - 1)
STATUSES: Final = st.sampled_from(protocol.EgressStatus.keys())
rest = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

queries = st.fixed_dictionaries(
    {},
    optional={
        "roomName": st.text(),
        "cursor": st.from_regex(CURSOR, fullmatch=True),
        "limit": st.integers(0, 101).map(str),
        "status": st.sampled_from([*Status, "gone"]),
        "from": st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat()),
        "to": st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat()),
        "order": st.sampled_from(["asc", "desc", "both"]),
    },
)
any_text = st.text(st.characters(codec="utf-8"))
files = st.builds(
    protocol.FileInfo,
    filename=any_text,
    location=any_text,
    size=INT64,
    duration=INT64,
    started_at=INT64,
    ended_at=INT64,
)
infos = st.builds(
    protocol.EgressInfo,
    egress_id=any_text,
    room_id=any_text,
    room_name=any_text,
    status=STATUSES.map(protocol.EgressStatus.Value),
    started_at=INT64,
    ended_at=INT64,
    error=any_text,
    error_code=st.integers(min_value=-(2**31), max_value=2**31 - 1),
    details=any_text,
    file_results=st.lists(files, max_size=2),
    backup_storage_used=st.booleans(),
)


@pytest.fixture(scope="module")
def recordings(stack: Stack) -> Iterator[Repository]:
    name = f"hostile_{uuid4().hex}"
    stack.postgres.create_database(name, template="migrated")
    with closing(Database(lambda: connect(stack.postgres, name))) as database:
        yield Repository(database, event_json=event_json)


@rest
@given(query=queries)
def test_every_query_that_parses_is_answered(recordings: Repository, query: dict[str, str]) -> None:
    with suppress(InvalidRequestError):
        page = page_of(Request({"rawQueryString": urlencode(query)}).query(*PARAMETERS), "alice")
        assert recordings.page(page, T0) == []


@rest
@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=512))
def test_every_room_name_that_parses_is_stored_as_it_is(recordings: Repository, name: str) -> None:
    with suppress(ValueError):
        accepted = StartRequest.model_validate({"roomName": name})
        new = recording(room_name=accepted.room_name, target=f"room:{uuid4()}")

        assert recordings.insert(new) is None
        assert recordings.get(new.id) == new


@rest
@given(info=infos)
def test_every_webhook_that_parses_is_stored(recordings: Repository, info: protocol.EgressInfo) -> None:
    body = json.dumps({"egressInfo": json_format.MessageToDict(info)})
    with suppress(InvalidRequestError):
        snapshot = snapshot_in(body.encode(), STORAGE)
        new = recording(target=f"room:{uuid4()}")
        changed = apply_snapshot(new, snapshot, T0, Policy()) if snapshot else None
        if changed is not None:
            assert recordings.insert(new) is None
            assert recordings.save(new, changed)
            assert recordings.get(new.id) == changed
