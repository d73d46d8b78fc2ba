-- Counters, holds and the usage record. Nothing here refers to the tables of the records: an act locks a record before its
-- scope, scopes in the order of their ids, and holds last. A foreign key would lock in an order of its own.

create table scopes (
  id text collate "C" primary key,
  state text not null,
  closed_at_ms bigint
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

create index scopes_by_closing on scopes (closed_at_ms) where closed_at_ms is not null;

comment on table scopes is 'What is counted in each scope, and the revision that fences it. No row: the scope admits nothing until it is seeded.';
comment on column scopes.state is 'JSON of windows, budgets and slots. One that is edited into nonsense denies its scope; without its row the scope is seeded from the usage record.';
comment on column scopes.closed_at_ms is 'When the record was removed; a day later nothing settles here any more.';

create table holds (
  id text collate "C" primary key,
  number bigint generated always as identity,
  has_ended boolean not null,
  until_ms bigint not null,
  body text
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

create index holds_by_end on holds (has_ended, until_ms);

comment on table holds is 'Open holds, and those that have ended, for an hour at least.';
comment on column holds.number is 'In the order of opening, which is the order in which leases of equal length end.';
comment on column holds.until_ms is 'Of an open hold the end of its lease; of an ended one when it may be forgotten.';
comment on column holds.body is 'JSON of its calls; null: each of them was settled or cancelled.';

create table seed_nonces (
  scope_id text collate "C" primary key,
  nonce text not null,
  until_ms bigint not null
);

create index seed_nonces_by_end on seed_nonces (until_ms);

comment on table seed_nonces is 'What an unknown scope can be seeded with by those who read its record after they were given it.';

create table applied_acts (
  id text collate "C" primary key,
  until_ms bigint not null
);

create index applied_acts_by_end on applied_acts (until_ms);

comment on table applied_acts is 'Adjustments and external usage of the last day, so that none is applied twice.';

create table usage_events (
  sequence bigint generated always as identity primary key,
  written_at timestamptz not null default clock_timestamp(),
  hold_id text collate "C" not null,
  call_id text collate "C" not null,
  is_correction boolean not null default false,
  at_ms bigint not null,
  key_id text collate "C" not null,
  owner_id text collate "C",
  team_id text collate "C",
  model text collate "C",
  endpoint text collate "C",
  source text not null,
  requests integer not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cache_read_tokens bigint not null,
  cache_write_tokens bigint not null,
  cost_nano_usd bigint not null,
  trace text,
  constraint usage_events_call_key unique (hold_id, call_id, is_correction)
);

create index usage_events_by_key on usage_events (key_id, at_ms);
create index usage_events_by_time on usage_events using brin (at_ms);

comment on table usage_events is 'One line for each call, in the order they were written; a late settlement of an abandoned call adds a correction.';
comment on column usage_events.is_correction is 'This line stands in place of the other one of the same hold and call.';
comment on column usage_events.at_ms is 'When the call was admitted.';

create table usage_hours (
  id text collate "C" primary key,
  hour_ms bigint not null,
  key_id text collate "C" not null,
  owner_id text collate "C",
  team_id text collate "C",
  model text collate "C",
  endpoint text collate "C",
  requests bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cache_read_tokens bigint not null,
  cache_write_tokens bigint not null,
  cost_nano_usd bigint not null,
  adjusted_nano_usd bigint not null
) with (fillfactor = 50);

create index usage_hours_by_key on usage_hours (key_id, hour_ms);
create index usage_hours_by_owner on usage_hours (owner_id, hour_ms);
create index usage_hours_by_team on usage_hours (team_id, hour_ms);
create index usage_hours_by_model on usage_hours (model, hour_ms);
create index usage_hours_by_time on usage_hours (hour_ms);

comment on table usage_hours is 'Sums of the usage record by the hour, written in the same transactions as its lines.';
comment on column usage_hours.id is 'A hash of the hour and the names: together they may be too long for an index.';
comment on column usage_hours.adjusted_nano_usd is 'Adjustments belong to their key alone, and are summed apart.';

create table usage_trim (
  is_only boolean primary key default true check (is_only),
  sequence bigint not null
);

comment on table usage_trim is 'The last line of the usage record that was forgotten: one row, or none.';
