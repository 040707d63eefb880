"""Keep what the handlers of egress answered, or that they did not."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the release before does not miss them."""
    op.execute("""
        alter table public.recordings
            add column handler_silent_since timestamptz,
            add column handler_answered_at timestamptz""")
