"""Create the table `recordings`, or adopt the one that is there.

A table of the original recipe is widened in place: no row and no column of its own is lost.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CREATE = """
create table if not exists recordings (
    id uuid primary key default gen_random_uuid(),
    room_name text not null,
    room_sid text,
    egress_id text,
    status text not null default 'starting',
    layout text,
    codec text,
    resolution text,
    started_at timestamptz,
    stopped_at timestamptz,
    file_url text,
    storage_key text,
    file_size bigint,
    duration double precision,
    user_id text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
)"""

# The types of the original's columns, where they differ or may differ. A conversion that would lose something
# fails, and with it the migration as a whole.
ADOPT_TYPES = """
do $$
declare
    wanted record;
    actual text;
begin
    for wanted in
        select * from (values
            ('id', 'uuid', 'id::uuid'),
            ('user_id', 'text', 'user_id::text'),
            ('room_name', 'text', 'room_name::text'),
            ('status', 'text', 'status::text'),
            ('file_size', 'bigint', 'file_size::bigint'),
            ('duration', 'double precision', 'duration::text::double precision'),
            ('started_at', 'timestamp with time zone', 'started_at at time zone ''UTC'''),
            ('stopped_at', 'timestamp with time zone', 'stopped_at at time zone ''UTC'''),
            ('created_at', 'timestamp with time zone', 'created_at at time zone ''UTC'''),
            ('updated_at', 'timestamp with time zone', 'updated_at at time zone ''UTC''')
        ) as columns (name, type, conversion)
    loop
        select format_type(atttypid, atttypmod) into actual from pg_attribute
        where attrelid = 'recordings'::regclass and attname = wanted.name and not attisdropped;
        if actual is distinct from wanted.type then
            execute format('alter table recordings alter column %I drop default', wanted.name);
            execute format(
                'alter table recordings alter column %I type %s using %s',
                wanted.name, wanted.type, wanted.conversion
            );
        end if;
    end loop;
end $$"""

# Rows come before their egress and outlive their file, so nothing but who, where and what can be demanded.
ADOPT_NULLS = """
do $$
declare
    strict_column record;
begin
    for strict_column in
        select attname as name from pg_attribute
        where attrelid = 'recordings'::regclass and attnotnull and attnum > 0 and not attisdropped
          and attname not in ('id', 'room_name', 'status', 'user_id', 'created_at', 'updated_at')
    loop
        execute format('alter table recordings alter column %I drop not null', strict_column.name);
    end loop;
end $$"""

ADD = """
alter table recordings
    add column source text not null default 'room_composite',
    add column track_sid text,
    add column audio_codec text,
    add column audio_bitrate integer,
    add column video_bitrate integer,
    add column failure_code text,
    add column failure_reason text,
    add column end_reason text,
    add column max_duration integer,
    add column expires_at timestamptz,
    add column status_at timestamptz,
    add column target text,
    add column idempotency_key text,
    add column idempotency_fingerprint text,
    add column stop_reason text,
    add column stop_requested_at timestamptz,
    add column deleted_at timestamptz,
    add column late_upload_until timestamptz,
    add column recorder_seen_at timestamptz,
    add column absent_since timestamptz,
    add column refreshed_at timestamptz,
    add column due_at timestamptz,
    add column attempts integer not null default 0,
    add column version integer not null default 0"""

# A status that this product does not know is that of a recipe which never settled it: the sweep will. Of several
# live rows of one room, the newest holds the room; the others are settled without holding anything.
BACKFILL = """
update recordings set
    created_at = coalesce(created_at, now()),
    updated_at = coalesce(updated_at, created_at, now()),
    status_at = coalesce(updated_at, created_at, now()),
    status = case
        when status in ('starting', 'active', 'stopping', 'completed', 'failed') then status
        when stopped_at is null then 'stopping'
        when storage_key is null and file_url is null then 'failed'
        else 'completed'
    end"""
BACKFILL_LIVE = """
update recordings set due_at = now() where status in ('starting', 'active', 'stopping')"""
BACKFILL_TARGET = """
update recordings set target = 'room:' || room_name
where id in (
    select distinct on (room_name) id from recordings
    where status in ('starting', 'active', 'stopping')
    order by room_name, created_at desc, id desc
)"""
REQUIRE = """
alter table recordings
    alter column status_at set not null,
    alter column created_at set not null,
    alter column updated_at set not null,
    alter column created_at set default now(),
    alter column updated_at set default now(),
    add constraint recordings_status_known
        check (status in ('starting', 'active', 'stopping', 'completed', 'failed'))"""

INDEXES = (
    """create index recordings_by_user on recordings (user_id, created_at desc, id desc)
       where deleted_at is null""",
    # The status comes last so that the filter by both is checked in the index, at no row's cost.
    """create index recordings_by_user_and_room on recordings (user_id, room_name, created_at desc, id desc, status)
       where deleted_at is null""",
    """create index recordings_by_user_and_status on recordings (user_id, status, created_at desc, id desc)
       where deleted_at is null""",
    "create index recordings_due on recordings (due_at) where due_at is not null",
    """create unique index recordings_live_target on recordings (target)
       where status in ('starting', 'active', 'stopping')""",
    """create unique index recordings_idempotency on recordings (user_id, idempotency_key)
       where idempotency_key is not null""",
    "create index recordings_by_egress on recordings (egress_id) where egress_id is not null",
)


def upgrade() -> None:
    """Create or adopt."""
    op.execute(CREATE)
    op.execute(ADOPT_TYPES)
    op.execute(ADOPT_NULLS)
    op.execute(ADD)
    op.execute(BACKFILL)
    op.execute(BACKFILL_LIVE)
    op.execute(BACKFILL_TARGET)
    op.execute(REQUIRE)
    for index in INDEXES:
        op.execute(index)
