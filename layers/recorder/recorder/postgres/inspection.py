"""Foreign objects on the tables, which may refuse or swallow rows of this product."""

from __future__ import annotations

from typing import Final

FINDINGS: Final = """
with ours (id) as (
    values ('public.recordings'::regclass), ('public.recording_events'::regclass), ('public.recording_waits'::regclass),
        ('public.recording_links'::regclass), ('public.recording_takes'::regclass)
)
select 'unique index' as kind, named.relname::text as name
from pg_index join ours on ours.id = indrelid join pg_class as named on named.oid = indexrelid
where indisunique and not indisprimary and named.relname not in (
    'recordings_live_target', 'recordings_idempotency',
    'recording_events_id_key', 'recording_events_recording_id_sequence_key', 'recording_links_token_hash_key',
    'recording_takes_egress_id_key'
)
union all
select 'constraint', conname::text from pg_constraint join ours on ours.id = conrelid
where contype in ('c', 'f', 'x')
    and conname not in ('recording_links_recording_id_fkey', 'recording_takes_recording_id_fkey')
union all
select 'trigger', tgname::text from pg_trigger join ours on ours.id = tgrelid where not tgisinternal
union all
select 'rule', rulename::text from pg_rewrite join ours on ours.id = ev_class
union all
select 'row security', relname::text from pg_class join ours on ours.id = oid where relrowsecurity
union all
select 'role setting', split_part(unnest(setconfig), '=', 1) from pg_db_role_setting
where setrole in (0, (select oid from pg_roles where rolname = current_user))
  and setdatabase in (0, (select oid from pg_database where datname = current_database()))
order by kind, name"""
"""Rows of `kind` and `name`: what is not ours on the tables, and settings of the role that asks."""
