"""Take in what a later release stores, and rows that the original recipe goes on inserting.

A status that this release does not know is live: it holds its target. Reads go on while this runs. Writes wait while
the index is built, which visits the whole table once: some tenths of a second for a million rows. Then reads wait for
moments.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Starts that were refused are no recordings. What was stored of them goes, with the keys that remember them.
REFUSED = """
update public.recordings set deleted_at = now(), due_at = now()
where status = 'failed' and egress_id is null and deleted_at is null
  and failure_code in ('room_not_found', 'egress_refused', 'egress_unavailable', 'egress_misconfigured')"""

# The new index is there before the old one goes, so that a target is held at any time. It takes the old name.
TARGETS = (
    """create unique index recordings_live_target_new on public.recordings (target)
       where status not in ('completed', 'failed')""",
    "drop index public.recordings_live_target",
    "alter index public.recordings_live_target_new rename to recordings_live_target",
)

STATUSES = "alter table public.recordings drop constraint if exists recordings_status_known"

# Every column of ours has a default. A row that comes without a time of its own is due at once: the sweep settles it.
DEFAULTS = """
alter table public.recordings
    alter column status_at set default now(),
    alter column due_at set default now()"""

# The recipe's own defaults are gone where 0001 changed the type of their column.
RECIPE_DEFAULTS = """
do $$
declare
    missing record;
begin
    for missing in
        select name, standard
        from (values ('id', 'gen_random_uuid()'), ('status', '''starting''')) as ours (name, standard)
        join pg_attribute on attrelid = 'public.recordings'::regclass and attname = name and not atthasdef
    loop
        execute format('alter table public.recordings alter column %I set default %s', missing.name, missing.standard);
    end loop;
end $$"""


def upgrade() -> None:
    """Build the index under a lock that lets reads through, then change the table."""
    for statement in (REFUSED, *TARGETS, STATUSES, DEFAULTS, RECIPE_DEFAULTS):
        op.execute(statement)
