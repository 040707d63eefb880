"""The table `recording_links`: who has a link's token may watch its recording. Only the token's hash is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from recorder.domain.shares import ShareLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recorder.postgres.database import Database

_LINK: Final = "json_build_array(links.id, links.recording_id, links.expires_at, links.may_download)"

# Expired links of the recording go with the next one. A statement that is run twice finds its own row.
INSERT: Final = """
with gone as (
    delete from public.recording_links where recording_id = :recording_id and expires_at <= :now
), written as (
    insert into public.recording_links (id, recording_id, token_hash, expires_at, may_download, created_at)
    select cast(:id as uuid), recordings.id, cast(:token_hash as bytea), cast(:expires_at as timestamptz),
        cast(:may_download as boolean), :now
    from public.recordings where recordings.id = :recording_id and deleted_at is null and (
        select count(*) from public.recording_links where recording_id = :recording_id and expires_at > :now
    ) < :most
    on conflict do nothing
    returning id
)
select (select count(*) from written) + (select count(*) from public.recording_links where id = :id)"""

OF_RECORDING: Final = f"""
select {_LINK} from public.recording_links as links
where recording_id = :recording_id and expires_at > :now order by created_at, id limit 1000"""

FIND: Final = f"""
select {_LINK} from public.recording_links as links join public.recordings on recordings.id = links.recording_id
where token_hash = cast(:token_hash as bytea) and links.expires_at > :now and deleted_at is null
  and (recordings.expires_at is null or recordings.expires_at > :now)"""

STANDS: Final = """
select exists (
    select from public.recording_links
    where id = :id and recording_id = :recording_id and expires_at > :now
)"""

REMOVE: Final = """
with gone as (
    delete from public.recording_links where id = :id and recording_id = :recording_id returning id
)
select count(*) from gone"""


class PostgresLinks:
    """The links of this deployment's recordings, as `usecases.ports.Links`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, link: ShareLink, token_hash: bytes, now: datetime, *, most: int) -> bool:
        [[written]] = self._database.run(
            INSERT,
            id=link.id,
            recording_id=link.recording_id,
            token_hash=token_hash,
            expires_at=link.expires_at,
            may_download=link.may_download,
            now=now,
            most=most,
        )
        return bool(written)

    def of_recording(self, recording_id: UUID, now: datetime) -> Sequence[ShareLink]:
        return [_link(row) for [row] in self._database.run(OF_RECORDING, recording_id=recording_id, now=now)]

    def find(self, token_hash: bytes, now: datetime) -> ShareLink | None:
        found = self._database.run(FIND, token_hash=token_hash, now=now)
        return _link(found[0][0]) if found else None

    def stands(self, link_id: UUID, recording_id: UUID, now: datetime) -> bool:
        [[stands]] = self._database.run(STANDS, id=link_id, recording_id=recording_id, now=now)
        return bool(stands)

    def remove(self, link_id: UUID, recording_id: UUID) -> bool:
        [[gone]] = self._database.run(REMOVE, id=link_id, recording_id=recording_id)
        return bool(gone)


def _link(row: object) -> ShareLink:
    id_, recording_id, expires_at, may_download = cast("tuple[str, str, str, bool]", row)
    return ShareLink(
        id=UUID(id_),
        recording_id=UUID(recording_id),
        expires_at=datetime.fromisoformat(expires_at).astimezone(UTC),
        may_download=may_download,
    )
