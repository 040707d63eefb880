"""Store what names a participant, a pair of tracks or a web page, and how each kind is encoded and written."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with defaults, so that the release before goes on writing."""
    op.execute("""
        alter table public.recordings
            add column media text,
            add column orientation text,
            add column framerate integer,
            add column participant_identity text,
            add column screen_share boolean not null default false,
            add column audio_track_sid text,
            add column video_track_sid text,
            add column page_url text,
            add column with_file boolean not null default true,
            add column hls_seconds integer,
            add column thumbnail_seconds integer,
            add column thumbnail_width integer,
            add column thumbnail_height integer,
            add column stream_urls text[] not null default '{}',
            add column stream_states text[] not null default '{}',
            add column hls_size bigint,
            add column thumbnail_count integer""")
    op.execute("""
        alter table public.recording_takes
            add column hls_size bigint,
            add column thumbnail_count integer""")
