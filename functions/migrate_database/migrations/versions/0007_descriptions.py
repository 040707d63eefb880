"""Keep a title, the caller's own reference and metadata, and list by kind and by reference.

Writes wait while the first index is built, which visits the whole table: about a second for a million rows. Then reads
wait too, while the second one is: it takes in no row yet, and the table is read once.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BY_SOURCE = """
create index recordings_by_user_and_source on public.recordings (user_id, source, created_at desc, id desc)
where deleted_at is null"""

# `json` gives the pairs back in the order in which they came.
COLUMNS = """
alter table public.recordings
    add column title text,
    add column reference text,
    add column metadata json"""

# Few rows have a reference, and those that have none cost nothing here.
BY_REFERENCE = """
create index recordings_by_user_and_reference on public.recordings (user_id, reference, created_at desc, id desc)
where deleted_at is null and reference is not null"""


def upgrade() -> None:
    """Build the first index under a lock that lets reads through; the release before does not miss the columns."""
    for statement in (BY_SOURCE, COLUMNS, BY_REFERENCE):
        op.execute(statement)
