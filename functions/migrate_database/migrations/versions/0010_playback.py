"""Give each recording a key of its own, with which tokens of its live playlist are made."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; recordings of before, and of the release before, have no live playlist."""
    op.execute("alter table public.recordings add column playback_key text")
