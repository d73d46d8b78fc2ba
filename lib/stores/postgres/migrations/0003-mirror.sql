-- Workers claim rows of the outbox under a lease; and what a mirror knows of each key. The times of the outbox are by the
-- clock of the store. A row that an older version has written is due.

alter table outbox
  add column due_at_ms bigint default 0,
  add column attempts integer not null default 0 check (attempts between 0 and 1000000000),
  add column lease_id text collate "C",
  add column lease_ends_at_ms bigint,
  add column claimable_from_ms bigint generated always as (coalesce(lease_ends_at_ms, due_at_ms)) stored;

drop index outbox_by_sequence;
create index outbox_by_claim on outbox (claimable_from_ms, sequence);

comment on column outbox.due_at_ms is 'Null: the row is claimed, and nobody has asked for more since.';
comment on column outbox.attempts is 'How often the row was claimed since it was written.';
comment on column outbox.lease_id is 'Of the worker that has the row to itself until its lease ends.';

create table twins (
  key_id text collate "C" primary key,
  state text collate "C" not null check (state in ('pending', 'synced', 'error', 'orphaned')),
  details json not null,
  version bigint not null
) with (fillfactor = 80);

create index twins_by_state on twins (state);

comment on table twins is 'What a mirror knows of the twins of a key elsewhere. It outlives the key.';
comment on column twins.details is 'JSON of the mirror. It may hold hashes of secrets.';
