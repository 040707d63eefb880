"""Create the outbox: events that wait to be published, written with the change that they tell of."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; `position` is the order of writing, `sequence` that within a recording."""
    op.execute("""
        create table recording_events (
            position bigint generated always as identity primary key,
            id text not null unique,
            recording_id uuid not null,
            sequence integer not null,
            type text not null,
            occurred_at timestamptz not null,
            body json not null,
            leased_until timestamptz not null default '-infinity',
            unique (recording_id, sequence)
        )""")
