"""Tables of any size, made by Postgres itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pg8000.native import Connection

HEAVY_USER: Final = "heavy"
ROOM: Final = "room-3"
"""One of the ten rooms of each user."""
REFERENCE: Final = "reference-1"
"""One of the references of each user: a tenth of the recordings has one of seven."""

# Of a hundred recordings ninety are completed, eight failed and two live. Some have an idempotency key, some expire,
# a few are tombstones; what is live or a tombstone is due, a second after it was made.
_RECORDINGS: Final = """
insert into recordings (
    id, user_id, room_name, source, status, created_at, updated_at, status_at, started_at, room_sid, egress_id,
    storage_key, file_size, duration, target, idempotency_key, idempotency_fingerprint, deleted_at, expires_at,
    recorder_seen_at, refreshed_at, due_at, reference
)
select id, user_id, room_name, case when m % 10 = 4 then 'track' else 'room_composite' end, status,
    at, at, at, at, 'RM_' || n, 'EG_' || n,
    'recordings/' || id || '/recording.mp4', 1000000, 60, 'room:' || n,
    case when n % 50 = 0 then 'key-' || n end, case when n % 50 = 0 then 'print' end,
    case when deleted then at end, case when n % 20 = 3 then at + interval '10 years' end,
    case when live then at end, case when live then at end,
    case when live or deleted then at + interval '1 second' end,
    case when m % 10 = 5 then 'reference-' || m / 10 % 7 end
from (
    select n, n / cast(:heavy_every as integer) as m, id, user_id, room_name, status, at, n % 1000 = 7 as deleted,
        status in ('starting', 'active', 'stopping') as live
    from (
        select n, cast(lpad(to_hex(n), 32, '0') as uuid) as id,
            case when n % cast(:heavy_every as integer) = 0 then 'heavy'
                else 'user-' || n % cast(:users as integer) end as user_id,
            'room-' || n / cast(:heavy_every as integer) % 10 as room_name,
            (array['completed', 'failed', 'active', 'stopping'])[
                width_bucket(n / cast(:heavy_every as integer) / 10 % 100, array[0, 90, 98, 99])] as status,
            timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' as at
        from generate_series(1, cast(:rows as integer)) as n
    ) as numbered
) as described"""

_EVENTS: Final = """
insert into recording_events (id, recording_id, sequence, type, occurred_at, body)
select recording_id || '-' || sequence, recording_id, sequence, 'RecordingActive', now(), '{}'
from (select gen_random_uuid() as recording_id from generate_series(1, cast(:recordings as integer))) as recordings,
    generate_series(0, 2) as sequence"""


_LINKS: Final = """
insert into recording_links (id, recording_id, token_hash, expires_at, may_download, created_at)
select cast(lpad(to_hex(n), 32, '0') as uuid), cast(lpad(to_hex(n / 2 + 1), 32, '0') as uuid),
    sha256(cast(n::text as bytea)), timestamptz '2026-07-01 00:00:00Z', false, timestamptz '2026-05-01 00:00:00Z'
from generate_series(1, cast(:links as integer)) as n"""


def fill(connection: Connection, rows: int, *, heavy_every: int, users: int) -> None:
    """Fill an empty table `recordings`: each so manieth row is the heavy user's, the others are spread over `users`."""
    indexes = connection.run(
        "select indexname, indexdef from pg_indexes where tablename = 'recordings' and indexname <> 'recordings_pkey'"
    )
    for name, _ in indexes or ():
        connection.run(f"drop index {name}")
    connection.run(_RECORDINGS, rows=rows, heavy_every=heavy_every, users=users)
    # Building an index at once takes a fraction of what filling it row by row does.
    for _, definition in indexes or ():
        connection.run(str(definition))
    connection.run("vacuum analyze recordings")


def fill_links(connection: Connection, links: int) -> None:
    """Add so many links, two to each of the first recordings."""
    connection.run(_LINKS, links=links)
    connection.run("vacuum analyze recording_links")


def fill_outbox(connection: Connection, recordings: int) -> None:
    """Add three unpublished events of each of so many recordings."""
    connection.run(_EVENTS, recordings=recordings)
    connection.run("vacuum analyze recording_events")
