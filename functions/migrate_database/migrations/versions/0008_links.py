"""Create the links by which somebody without an account watches one recording."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table. A link goes with its row, also where the release before removes that."""
    op.execute("""
        create table public.recording_links (
            id uuid primary key,
            recording_id uuid not null references public.recordings (id) on delete cascade,
            token_hash bytea not null unique,
            expires_at timestamptz not null,
            may_download boolean not null,
            created_at timestamptz not null
        )""")
    op.execute(
        "create index recording_links_by_recording on public.recording_links (recording_id, expires_at)"
    )
