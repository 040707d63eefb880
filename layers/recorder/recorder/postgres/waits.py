"""The table `recording_waits`: how many requests wait at once, for each user and for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from recorder.postgres.database import Database

_ALL: Final = ""
"""The holder under which all waits are counted; no user has an empty name."""

# Two requests at once wait for each other at the holder's row, so neither is counted twice or forgotten. Rows of those
# who have not waited for an hour go with the next wait.
BEGIN: Final = """
with gone as (
    delete from public.recording_waits where holder = any(array(
        select holder from public.recording_waits
        where last_ends_at < cast(:now as timestamptz) - interval '1 hour' and holder not in (:user_id, :all)
        order by last_ends_at limit 10 for update skip locked
    ))
), of_user as (
    insert into public.recording_waits as held (holder, ends_at, last_ends_at)
    select cast(:user_id as text), array[cast(:ends_at as timestamptz)], :ends_at where :of_user > 0 and :of_all > 0
    on conflict (holder) do update
        set ends_at = array(select each from unnest(held.ends_at) as each where each > :now) || excluded.ends_at,
            last_ends_at = excluded.last_ends_at
        where (select count(*) from unnest(held.ends_at) as each where each > :now) < :of_user
    returning holder
), of_all as (
    insert into public.recording_waits as held (holder, ends_at, last_ends_at)
    select cast(:all as text), array[cast(:ends_at as timestamptz)], :ends_at from of_user
    on conflict (holder) do update
        set ends_at = array(select each from unnest(held.ends_at) as each where each > :now) || excluded.ends_at,
            last_ends_at = excluded.last_ends_at
        where (select count(*) from unnest(held.ends_at) as each where each > :now) < :of_all
    returning holder
)
select (select count(*) from of_user), (select count(*) from of_all)"""

END: Final = """
update public.recording_waits set ends_at = array_remove(ends_at, cast(:ends_at as timestamptz))
where holder = any(cast(:holders as text[]))"""


class PostgresWaits:
    """The waits of this deployment's requests, as `usecases.ports.Waits`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, user_id: str, ends_at: datetime, now: datetime, *, of_user: int, of_all: int) -> bool:
        [[counted, granted]] = self._database.run(
            BEGIN, user_id=user_id, all=_ALL, ends_at=ends_at, now=now, of_user=of_user, of_all=of_all
        )
        if counted and not granted:
            self._database.run(END, holders=[user_id], ends_at=ends_at)
        return bool(granted)

    def end(self, user_id: str, ends_at: datetime) -> None:
        self._database.run(END, holders=[user_id, _ALL], ends_at=ends_at)

    def release(self) -> None:
        self._database.close()
