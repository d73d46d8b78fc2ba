// Made of migrations/*.sql by scripts/embed-files.mjs.
export const migrationFiles = {
  '0001-records': `-- Keys, policies and their history. Times are epoch milliseconds, by the clock of the database.
-- Texts that lists are ordered by or cursors hold sort by their bytes, whatever the locale.

create table keys (
  id text collate "C" primary key,
  name text not null,
  alias text collate "C" not null,
  owner_id text collate "C",
  team_id text collate "C",
  prefix text not null,
  secret_hash text collate "C" not null,
  previous_secret_hash text collate "C",
  previous_secret_ends_at_ms bigint,
  tags text[] not null,
  settings jsonb not null,
  metadata json not null,
  search_text text not null,
  expires_at_ms bigint,
  disabled_at_ms bigint,
  revoked_at_ms bigint,
  revoked_reason text,
  version bigint not null,
  revision bigint not null,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,
  last_used_at_ms bigint,
  constraint keys_alias_key unique (alias),
  constraint keys_secret_hash_key unique (secret_hash)
) with (fillfactor = 90);

create unique index keys_previous_secret_hash_key on keys (previous_secret_hash) where previous_secret_hash is not null;
create index keys_by_creation on keys (created_at_ms, id);
create index keys_by_owner on keys (owner_id, created_at_ms, id);
create index keys_by_team on keys (team_id, created_at_ms, id);
create index keys_by_status on keys (revoked_at_ms, disabled_at_ms, expires_at_ms);
create index keys_by_tag on keys using gin (tags);

comment on table keys is 'Virtual keys. A status is never stored: revoked before disabled before expired before active.';
comment on column keys.alias is 'Unique: the sanitised name and 8 hex digits.';
comment on column keys.secret_hash is 'What the secret hashes to; the secret itself is stored nowhere.';
comment on column keys.previous_secret_hash is 'Of the secret before the last rotation, while its grace lasts.';
comment on column keys.settings is 'Limits, permissions, endpoints and addresses. Money is in nano-dollars (10^-9 USD).';
comment on column keys.metadata is 'JSON of the operator, kept to the letter.';
comment on column keys.search_text is 'Name and alias in lower case, for lists that are searched.';
comment on column keys.version is 'Counts every change.';
comment on column keys.revision is 'Rises with changes that matter for admission, and fences requests judged before.';

create table key_models (
  key_id text collate "C" not null references keys (id) on delete cascade,
  position integer not null,
  model text collate "C" not null,
  primary key (key_id, position)
);

create index key_models_by_model on key_models (model, key_id);

comment on table key_models is 'The models that a key may use: exact names, prefix* or *. No row: no model.';

create table policies (
  scope_id text collate "C" primary key,
  models text[],
  settings jsonb not null,
  version bigint not null,
  revision bigint not null,
  created_at_ms bigint not null,
  updated_at_ms bigint not null
);

comment on table policies is 'What a user, a team or everybody may use; it narrows the keys under it.';
comment on column policies.scope_id is 'user:<id>, team:<id> or global.';
comment on column policies.models is 'Null: does not narrow. Empty: no model.';

create table defaults (
  is_only boolean primary key default true check (is_only),
  defaults json not null,
  maximums json not null,
  version bigint not null
);

comment on table defaults is 'Defaults and maximums of new keys: one row.';

create table audit (
  sequence bigint generated always as identity primary key,
  id text collate "C" not null,
  target text collate "C" not null,
  action text collate "C" not null,
  actor json not null,
  before json,
  after json,
  reason json,
  at_ms bigint not null
);

create index audit_by_target on audit (target, sequence);
create index audit_by_action on audit (action, sequence);

comment on table audit is 'Who changed what. Neither side of a change holds a secret or a hash.';
comment on column audit.target is 'key:<id>, user:<id>, team:<id>, global or defaults.';

create table alerts (
  id text collate "C" primary key,
  type text collate "C" not null,
  scope_id text collate "C" not null,
  owner_id text collate "C",
  team_id text collate "C",
  key_id text collate "C" not null,
  model text,
  budget json,
  at_ms bigint not null
);

create index alerts_by_time on alerts (at_ms, id);
create index alerts_by_type on alerts (type, at_ms, id);
create index alerts_by_scope on alerts (scope_id, at_ms, id);
create index alerts_by_owner on alerts (owner_id, at_ms, id);
create index alerts_by_team on alerts (team_id, at_ms, id);

comment on table alerts is 'What an operator should know of. The id is made of what the alert is about, so each is told once.';

create sequence outbox_sequence;

create table outbox (
  key_id text collate "C" primary key,
  id text collate "C" not null,
  sequence bigint not null,
  revision bigint not null,
  at_ms bigint not null
);

create index outbox_by_sequence on outbox (sequence);

comment on table outbox is 'Keys that a mirror has yet to hear of: one row a key, with its latest revision.';

create table fences (
  sequence bigint generated always as identity primary key,
  scope_id text collate "C" not null,
  revision bigint not null,
  is_new boolean not null,
  is_closed boolean not null,
  carries json not null
);

comment on table fences is 'Changes that the counters of another store have yet to hear of.';

create table archive_mark (
  is_only boolean primary key default true check (is_only),
  cursor text not null
);

comment on table archive_mark is 'Up to where the usage of another store is kept here: one row, or none.';

create table changes (
  sequence bigint generated always as identity primary key,
  transaction_id xid8 not null default pg_current_xact_id(),
  sender text collate "C" not null,
  scope_id text collate "C" not null,
  revision bigint not null,
  at timestamptz not null default clock_timestamp()
);

create index changes_by_transaction on changes (transaction_id);

comment on table changes is 'Changes of the last hour, for processes that poll for them.';

create view api_keys_with_models as
select
  k.id,
  k.name,
  k.alias,
  k.owner_id,
  k.team_id,
  k.prefix,
  case
    when k.revoked_at_ms is not null then 'revoked'
    when k.disabled_at_ms is not null then 'disabled'
    when k.expires_at_ms <= extract(epoch from now()) * 1000 then 'expired'
    else 'active'
  end as status,
  array(select m.model from key_models m where m.key_id = k.id order by m.position) as models,
  k.tags,
  k.settings,
  k.metadata,
  to_timestamp(k.expires_at_ms / 1000.0) as expires_at,
  to_timestamp(k.created_at_ms / 1000.0) as created_at,
  to_timestamp(k.updated_at_ms / 1000.0) as updated_at,
  to_timestamp(k.last_used_at_ms / 1000.0) as last_used_at
from keys k;

comment on view api_keys_with_models is 'Each key with its status now and all its models, for reports.';
`,
  '0002-ledger': `-- Counters, holds and the usage record. Nothing here refers to the tables of the records: an act locks a record before its
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
`,
  '0003-mirror': `-- Workers claim rows of the outbox under a lease; and what a mirror knows of each key. The times of the outbox are by the
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
`,
  '0004-outbox-leases': `-- How many rows of the outbox are claimed is told without a look at all others.

create index outbox_by_lease on outbox (lease_ends_at_ms) where lease_ends_at_ms is not null;
`,
  '0005-usage-indexes': `-- The usage of a key is asked of the sums of its hours. Lines are read in the order they were written, and by their call.

drop index usage_events_by_key;
drop index usage_events_by_time;
`,
};
