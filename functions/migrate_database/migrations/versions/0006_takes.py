"""Let a recording have several takes: the current one stays in its row, the ended ones get a table of their own."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with defaults, so that the release before goes on writing, and the table of ended takes."""
    op.execute("""
        alter table public.recordings
            add column take integer not null default 1,
            add column take_begun_by text not null default 'start',
            add column take_requested_at timestamptz,
            add column take_started_at timestamptz,
            add column take_ended_at timestamptz,
            add column take_segments boolean not null default false,
            add column on_worker_lost text,
            add column pause_requested_at timestamptz,
            add column parts_kept boolean not null default false""")
    op.execute("""
        update public.recordings set take_started_at = started_at
        where status not in ('starting', 'completed', 'failed')""")
    op.execute("""
        create table public.recording_takes (
            recording_id uuid not null references public.recordings (id) on delete cascade,
            take integer not null,
            egress_id text unique,
            begun_by text not null default 'start',
            requested_at timestamptz not null,
            started_at timestamptz,
            stopped_at timestamptz not null,
            end_reason text not null,
            reported boolean not null default false,
            segments boolean not null default false,
            segment_count integer,
            duration double precision,
            lost_seconds double precision,
            storage_key text,
            file_size bigint,
            file_url text,
            failure_code text,
            failure_reason text,
            primary key (recording_id, take)
        )""")
