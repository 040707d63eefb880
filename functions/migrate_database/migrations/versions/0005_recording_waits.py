"""Create the count of requests that wait: one row for each user who waits, and one for all."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; `ends_at` holds when each wait ends at the latest, `last_ends_at` the last of them."""
    op.execute("""
        create table recording_waits (
            holder text primary key,
            ends_at timestamptz[] not null,
            last_ends_at timestamptz not null
        )""")
    op.execute("create index recording_waits_last on recording_waits (last_ends_at)")
