// Made of lua/*.lua by scripts/embed-files.mjs.
export const luaFiles = {
  abandon: `-- Ends a hold whose lease is over: slot and tokens go back, each open call is charged as it was to be.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   KEYS[3] stream of usage   KEYS[4] days of all keys
-- KEYS[5..] act.scopeIds, in their order; then of each call: sums of its day, days of its key
-- act: holdId, slots, calls {id, at, tokens, costNanoUsd, chargedNanoUsd, takes, line}
-- Result: state (abandoned, kept: it was renewed, has ended or has other calls by now), jumps, charged budgets by call

local abandoned_ms = 86400000
local ends = redis.call('ZSCORE', KEYS[2], act.holdId)
if not ends or not is_over(ends) then return { 'kept', jumps, {} } end

local is_expected = {}
for _, call in ipairs(act.calls) do is_expected['c:' .. call.id] = true end
local replaced = {}
local found = 0
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local field, state = fields[index], fields[index + 1]:sub(1, 1)
  if field:sub(1, 2) == 'c:' and state == 'r' then replaced[#replaced + 1] = field end
  if field:sub(1, 2) == 'c:' and state == 'o' then
    if not is_expected[field] then return { 'kept', jumps, {} } end
    found = found + 1
  end
end
if found ~= #act.calls then return { 'kept', jumps, {} } end

local scopes, positions = {}, {}
for position, id in ipairs(act.scopeIds) do
  positions[id] = position
  scopes[position] = load_scope(KEYS[position + 4], id, {})
end

local charged = {}
for index, call in ipairs(act.calls) do
  local correction = { at = call.at, counted = call.tokens, tokens = 0, held = call.costNanoUsd, spent = call.chargedNanoUsd }
  local of_call = {}
  for _, taken in ipairs(call.takes) do
    local scope = scopes[positions[taken.scope]]
    local budget = scope.known and correct(scope, taken, correction)
    if budget and correction.spent ~= 0 then of_call[#of_call + 1] = { scope.id, budget.field, budget.spent } end
  end
  charged[index] = of_call
  local at = #act.scopeIds + 4 + index * 2 - 1
  append_line({ stream = KEYS[3], days = KEYS[4], sums = KEYS[at], days_of_key = KEYS[at + 1] }, call.line)
  redis.call('HSET', KEYS[1], 'c:' .. call.id, 'a' .. struct.pack('<d', call.chargedNanoUsd))
end
for _, id in ipairs(act.slots) do
  local scope = scopes[positions[id]]
  if scope.known then write(scope, 'o', scope.open - 1) end
end
for _, scope in ipairs(scopes) do save_scope(scope) end
for _, field in ipairs(replaced) do redis.call('HSET', KEYS[1], field, 'e') end
redis.call('HSET', KEYS[1], 'n', 0)
redis.call('HDEL', KEYS[1], 's')
redis.call('PEXPIRE', KEYS[1], abandoned_ms)
redis.call('ZREM', KEYS[2], act.holdId)
return { 'abandoned', jumps, charged }
`,
  account: `-- Money that comes or goes without a hold, once for each id: an adjustment, or usage that was measured elsewhere.
--
-- KEYS[1] the mark of its id (string)   KEYS[2] stream of usage   KEYS[3] days of all keys   KEYS[4] sums of the day
-- KEYS[5] days of the key               KEYS[6..] act.scopeIds, in their order
-- act: budgets {scope, field, ends}; costNanoUsd: what they are charged, absent: they are set to zero; line; before
--   and after: an adjustment's event around the number that is known here alone
-- Result: state (done, already), what the first budget had spent, charged budgets: scope, field, spent

if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', 86400000) then return { 'already', 0, {} } end
local scopes = {}
for position, id in ipairs(act.scopeIds) do scopes[position] = load_scope(KEYS[position + 5], id, {}) end

local charged, first = {}, 0
for index, asked in ipairs(act.budgets) do
  local scope = scopes[asked.scope]
  if scope.known and act.costNanoUsd then
    if act.costNanoUsd ~= 0 then
      local budget = open_budget(scope, asked.field, asked.ends)
      budget.spent, budget.changed = budget.spent + act.costNanoUsd, true
      charged[#charged + 1] = { scope.id, budget.field, budget.spent }
    end
  elseif scope.known then
    local budget = find_budget(scope, asked.field)
    if budget then
      if index == 1 then first = budget.spent end
      budget.spent, budget.changed = 0, true
    end
  end
end
for _, scope in ipairs(scopes) do save_scope(scope) end

local keys = { stream = KEYS[2], days = KEYS[3], sums = KEYS[4], days_of_key = KEYS[5] }
if act.costNanoUsd then
  append_line(keys, act.line)
elseif first ~= 0 then
  act.line.event = act.before .. string.format('%.0f', -first) .. act.after
  act.line.sums = { 0, 0, 0, 0, 0, 0, -first }
  append_line(keys, act.line)
end
return { 'done', first, charged }
`,
  admit: `-- Decides all limits of a plan and takes from all of them, or from none, as lib/limits/decide.ts does.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)   KEYS[3..] act.scopeIds, in their order (hashes);
-- then further leases where a hold may stand that is in the way
-- act: holdId, callId, scopeIds, mintedAtMs, tokens, costNanoUsd, clamp, notAfterMs, leaseMs, replacesFirst
-- ARGV[2] the plan, as JSON: revisions, limits, slots, maxTokens, validFromMs, validUntilMs
-- ARGV[3] what is kept of the call beside its numbers; of it only \`takes\` is read here
-- Result: outcome, jumps of the clock, then by outcome
--   admitted: at, tokens, cost, output tokens (-1: no clamp), remaining (-1: no limit), body
--   refused: position (-1: the request alone is too large), retry in ms (-1: never), remaining, whether leases are over
--   stale: position of the scope, revision    unseeded: positions    stale_clock: now    missing: scopes to declare
--   over: the lease of the hold is over       expired, id_conflict, hold_ended, too_old

local oldest_admission_ms = 300000
local header = '<dddddddd'
local plan = cjson.decode(ARGV[2])
local body = ARGV[3]
local call_field = 'c:' .. act.callId

local function reply(outcome, ...) return { outcome, jumps, ... } end

local function numbers(list)
  local shown = {}
  for index, value in ipairs(list) do shown[index] = value == math.huge and -1 or value end
  return shown
end

local function repeated(value)
  if not value or value:sub(1, 1) ~= 'o' and value:sub(1, 1) ~= 'r' then return reply('hold_ended') end
  local at, asked_tokens, asked_cost, tokens, cost, output, _, count, from = struct.unpack(header, value, 2)
  if asked_tokens ~= act.tokens or asked_cost ~= act.costNanoUsd then return reply('id_conflict') end
  local remaining = {}
  for index = 1, count do remaining[index], from = struct.unpack('<d', value, from) end
  return reply('admitted', at, tokens, cost, output, numbers(remaining), value:sub(from))
end

local known = redis.call('HMGET', KEYS[1], 'n', call_field, 'c:')
local is_further = act.callId ~= ''
local is_open = known[1] and known[1] ~= '0'
if is_further then
  if not is_open then return reply('hold_ended') end
  local ends = redis.call('ZSCORE', KEYS[2], act.holdId)
  if ends and is_over(ends) then return reply('over') end
  if known[2] then return repeated(known[2]) end
elseif known[1] then
  if not is_open then return reply('hold_ended') end
  return repeated(known[2])
end
if now - act.mintedAtMs > oldest_admission_ms then return reply('too_old') end

-- The call whose place is taken, with what it took by scope and counter.
local replaced
if act.replacesFirst and known[3] and known[3]:sub(1, 1) == 'o' then
  local at, _, _, tokens, cost, _, _, count, from = struct.unpack(header, known[3], 2)
  replaced = { at = at, tokens = tokens, cost = cost, takes = cjson.decode(known[3]:sub(from + count * 8)).takes }
end

local positions, fields = {}, {}
for position, id in ipairs(act.scopeIds) do
  positions[id], fields[position] = position, {}
end
for _, limit in ipairs(plan.limits) do
  local of_scope = fields[limit.scope]
  if limit.kind == 'budget' then of_scope[#of_scope + 1] = limit.id
  elseif limit.kind ~= 'concurrency' then of_scope[#of_scope + 1] = 'w:' .. limit.id end
end
if replaced then
  local missing = {}
  for _, taken in ipairs(replaced.takes) do
    if not positions[taken.scope] then missing[#missing + 1] = taken.scope end
  end
  if #missing > 0 then return reply('missing', missing) end
end

local scopes = {}
for position, id in ipairs(act.scopeIds) do scopes[position] = load_scope(KEYS[position + 2], id, fields[position]) end

local unseeded = {}
for position, revision in ipairs(plan.revisions) do
  local scope = scopes[position]
  if not scope.known then
    if revision > 0 then unseeded[#unseeded + 1] = position - 1 end
  elseif scope.closed or scope.revision > revision then
    return reply('stale', position - 1, scope.revision)
  end
end
if #unseeded > 0 then return reply('unseeded', unseeded) end
if act.notAfterMs and now >= act.notAfterMs then return reply('expired') end
if now < plan.validFromMs or now >= plan.validUntilMs then return reply('stale_clock', now) end

local function taken_by_replaced(limit)
  if not replaced then return nil end
  for _, taken in ipairs(replaced.takes) do
    if taken.scope == act.scopeIds[limit.scope] and taken.id == limit.id then return taken end
  end
end

local function credit_of(limit, taken)
  if not taken or not scopes[limit.scope].known then return 0 end
  if taken.kind == 'budget' then return replaced.cost end
  if taken.kind ~= 'tokens' then return 0 end
  local scope = scopes[limit.scope]
  return (returnable(scope, window_of(scope, taken.id, taken.size), replaced.at, replaced.tokens))
end

local function room(limit)
  if not limit.limit then return math.huge end
  local scope = scopes[limit.scope]
  if limit.kind == 'concurrency' then return limit.limit - scope.open end
  if limit.kind == 'budget' then
    local budget = find_budget(scope, limit.id)
    return limit.limit - (budget and budget.spent + budget.held or 0)
  end
  return limit.limit - window_of(scope, limit.id, limit.size).total
end

local remaining, credits, counted = {}, {}, {}
for index, limit in ipairs(plan.limits) do
  local taken = taken_by_replaced(limit)
  counted[index], credits[index] = taken ~= nil, credit_of(limit, taken)
  remaining[index] = room(limit) + credits[index]
end

local tokens, cost, output = act.tokens, act.costNanoUsd, -1
local clamp = act.clamp
if clamp then
  output = clamp.max
  if plan.maxTokens then output = math.min(output, plan.maxTokens - clamp.inputTokens) end
  for index, limit in ipairs(plan.limits) do
    if limit.kind == 'tokens' then output = math.min(output, remaining[index] - clamp.inputTokens) end
    if limit.kind == 'budget' and clamp.picoUsd > 0 then
      output = math.min(output, math.floor((remaining[index] - clamp.inputCost) * 1000 / clamp.picoUsd))
    end
  end
  if output < clamp.min then output = math.min(clamp.min, clamp.max) end
  tokens = clamp.inputTokens + output
  cost = clamp.inputCost + math.ceil(output * clamp.picoUsd / 1000)
end

local function amount_for(index, limit)
  if limit.kind == 'requests' then return counted[index] and 0 or 1 end
  if limit.kind == 'tokens' then return tokens end
  if limit.kind == 'concurrency' then return is_further and 0 or 1 end
  return cost
end

local slot_retry_ms = 1000
local function wait(index, limit, amount)
  if limit.limit == 0 or amount > limit.limit then return -1 end
  if limit.kind == 'concurrency' then return slot_retry_ms end
  if limit.kind == 'budget' then return limit.ends < 0 and -1 or limit.ends - now end
  local scope = scopes[limit.scope]
  return wait_for_room(scope, window_of(scope, limit.id, limit.size), amount - credits[index], limit.limit)
end

local by, retry_ms
if plan.maxTokens and tokens > plan.maxTokens then by, retry_ms = -1, -1 end
for index, limit in ipairs(plan.limits) do
  local amount = amount_for(index, limit)
  local counts_nothing = amount == 0 and (limit.kind == 'requests' or limit.kind == 'concurrency')
  if limit.limit and not counts_nothing and not (limit.limit > 0 and amount <= remaining[index]) then
    local wait_ms = wait(index, limit, amount)
    -- The longest wait is the truth for the whole request; the first of equals names it.
    if by == nil or retry_ms >= 0 and (wait_ms < 0 or wait_ms > retry_ms) then by, retry_ms = index - 1, wait_ms end
  end
end

if by then
  for _, scope in ipairs(scopes) do save_scope(scope) end
  local in_the_way = 0
  for index = 2, #KEYS do
    local is_leases = index == 2 or index > #act.scopeIds + 2
    if is_leases and redis.call('ZCOUNT', KEYS[index], '-inf', over_until()) > 0 then in_the_way = 1 end
  end
  for index, left in ipairs(remaining) do remaining[index] = math.max(0, left) end
  return reply('refused', by, retry_ms, numbers(remaining), in_the_way)
end

if replaced then
  local correction = { at = replaced.at, counted = replaced.tokens, tokens = 0, held = replaced.cost, spent = 0 }
  for _, taken in ipairs(replaced.takes) do
    local scope = scopes[positions[taken.scope]]
    if scope.known then correct(scope, taken, correction) end
  end
end
for position, revision in ipairs(plan.revisions) do
  local scope = scopes[position]
  if scope.known and scope.revision < revision then write(scope, 'v', revision) end
end
for index, limit in ipairs(plan.limits) do
  local scope = scopes[limit.scope]
  if scope.known then
    local amount = amount_for(index, limit)
    remaining[index] = math.max(0, remaining[index] - amount)
    if limit.kind == 'budget' then
      local budget = open_budget(scope, limit.id, limit.ends)
      budget.held, budget.changed = budget.held + amount, true
    elseif limit.kind == 'concurrency' then
      scope.open = scope.open + amount
      if amount ~= 0 then write(scope, 'o', scope.open) end
    else
      take_from_window(window_of(scope, limit.id, limit.size), amount)
    end
  end
end
for _, scope in ipairs(scopes) do save_scope(scope) end

-- A hash keeps no order: calls know which of them came first.
local order = is_further and redis.call('HLEN', KEYS[1]) or 0
local value = 'o' .. struct.pack(header, now, act.tokens, act.costNanoUsd, tokens, cost, output, order, #remaining)
for _, left in ipairs(remaining) do value = value .. struct.pack('<d', left) end
value = value .. body
if is_further then
  if replaced then redis.call('HSET', KEYS[1], 'c:', 'r' .. known[3]:sub(2)) end
  redis.call('HSET', KEYS[1], 'n', known[1] + 1, call_field, value)
else
  redis.call('HSET', KEYS[1], 'n', 1, 's', plan.slots, call_field, value)
  start_lease(KEYS[2], act.holdId, act.leaseMs)
end
return reply('admitted', now, tokens, cost, output, numbers(remaining))
`,
  'append-audit': `-- Adds an audit row that belongs to no change of a record.
--
-- KEYS[1..7] as in record-change.lua; of these the rows alone are written
-- Result: 1

write_audit(redis.call('INCR', KEYS[2]))
return 1
`,
  balances: `-- Reads the counters of one scope, by the present.
--
-- KEYS[1] the scope (hash)   act: scopeIds, its id alone
-- Result: nothing if it is unknown, else jumps, revision, open holds, windows: id, ms, used; budgets: field, spent, held

local scope = load_scope(KEYS[1], act.scopeIds[1], {})
if not scope.known then return false end
local windows, budgets = {}, {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, 2) == 'w:' then
    local window = window_of(scope, field:sub(3), 0)
    windows[#windows + 1] = { window.id, window.window_ms, window.total }
  elseif field:sub(1, 2) == 'b:' then
    local budget = budget_at(scope, field)
    if budget.moved == '' then budgets[#budgets + 1] = { field, budget.spent, budget.held } end
  end
end
save_scope(scope)
return { jumps, scope.revision, scope.open, windows, budgets }
`,
  'change-document': `-- Puts a policy, or the defaults: inserts version 1, or replaces the version before.
--
-- KEYS[1..7] as in record-change.lua
-- ARGV[2]    { version, json, createdAtMs }
--
-- Result: { 'changed', revision, when it was created, pending fences } or { 'version_conflict', version }

local document = cjson.decode(ARGV[2])

local version = stored_number('version')
if version ~= document.version - 1 then return { 'version_conflict', integer(version) } end

local revision = next_revision(stored_number('revision'))
redis.call('HSET', KEYS[1], 'json', document.json, 'version', integer(document.version), 'revision', integer(revision))
redis.call('HSETNX', KEYS[1], 'createdAtMs', integer(document.createdAtMs))
return { 'changed', integer(revision), redis.call('HGET', KEYS[1], 'createdAtMs'), commit(revision) }
`,
  'change-key': `-- Stores a key (there is no \`before\`), replaces it, or removes it (there is no \`after\`), with all its index entries.
--
-- KEYS[1..7]  as in record-change.lua
-- KEYS[8]     key id by alias (hash)        KEYS[9]  key id by secret hash (hash)
-- KEYS[10]    filtered fields (hash)        KEYS[11] keys neither revoked nor disabled, by expiry (sorted set)
-- KEYS[12]    of these, the owner's before  KEYS[13] of these, the owner's after
-- KEYS[14..]  indexes to leave, then indexes to join (sorted sets of entries)
--
-- ARGV[2] { id, entry, leaving (number of indexes), maxActive?,
--           before?: { version, alias, hashes },
--           after?: { version, json, createdAtMs, alias, hashes, filtered, expiresAt?, isOwned, ownedBefore } }
--
-- Result: { 'changed', revision, last use or '', pending fences } or { a refusal } or { 'version_conflict', version }

local key = cjson.decode(ARGV[2])
local before, after = key.before, key.after

expect('hash', KEYS[8], KEYS[9], KEYS[10])
for position = 11, #KEYS do expect('zset', KEYS[position]) end

local function is_active(expires_at)
  if not expires_at then return false end
  return expires_at == '+inf' or tonumber(expires_at) > now
end

-- Whether the owner has no room for one more active key.
local function passes_owner_limit()
  if not key.maxActive or not after.isOwned or not is_active(after.expiresAt) then return false end
  local known = redis.call('ZSCORE', KEYS[13], key.id)
  local was_active = known and (known == 'inf' or tonumber(known) > now)
  if was_active then return false end
  return redis.call('ZCOUNT', KEYS[13], '(' .. integer(now), '+inf') >= key.maxActive
end

local function belongs_to_other(index, field)
  local id = redis.call('HGET', index, field)
  return id and id ~= key.id
end

local exists = redis.call('EXISTS', KEYS[1]) == 1
local revision

if not before then
  if exists then return { 'id_taken' } end
  if redis.call('HEXISTS', KEYS[8], after.alias) == 1 then return { 'alias_taken' } end
  for _, hash in ipairs(after.hashes) do
    if redis.call('HEXISTS', KEYS[9], hash) == 1 then return { 'secret_taken' } end
  end
  if passes_owner_limit() then return { 'owner_limit' } end
  revision = next_revision(0)
else
  if not exists then return { 'not_found' } end
  local version = stored_number('version')
  if version ~= before.version then return { 'version_conflict', integer(version) } end
  if after then
    if belongs_to_other(KEYS[8], after.alias) then return { 'alias_taken' } end
    if passes_owner_limit() then return { 'owner_limit' } end
  end
  revision = next_revision(stored_number('revision'))

  if not belongs_to_other(KEYS[8], before.alias) then redis.call('HDEL', KEYS[8], before.alias) end
  for _, hash in ipairs(before.hashes) do
    if not belongs_to_other(KEYS[9], hash) then redis.call('HDEL', KEYS[9], hash) end
  end
  redis.call('HDEL', KEYS[10], key.entry)
  redis.call('ZREM', KEYS[11], key.id)
  redis.call('ZREM', KEYS[12], key.id)
  for position = 14, 13 + key.leaving do redis.call('ZREM', KEYS[position], key.entry) end
end

local last_use = redis.call('HGET', KEYS[1], 'lastUsedAtMs') or ''

if after then
  redis.call('HSET', KEYS[1], 'json', after.json, 'version', integer(after.version), 'revision', integer(revision))
  redis.call('HSETNX', KEYS[1], 'createdAtMs', integer(after.createdAtMs))
  if last_use == '' and after.lastUsedAtMs then
    last_use = integer(after.lastUsedAtMs)
    redis.call('HSET', KEYS[1], 'lastUsedAtMs', last_use)
  end
  redis.call('HSET', KEYS[8], after.alias, key.id)
  for _, hash in ipairs(after.hashes) do redis.call('HSET', KEYS[9], hash, key.id) end
  redis.call('HSET', KEYS[10], key.entry, after.filtered)
  if after.expiresAt then
    redis.call('ZADD', KEYS[11], after.expiresAt, key.id)
    if after.isOwned then redis.call('ZADD', KEYS[13], after.expiresAt, key.id) end
  end
  for position = 14 + key.leaving, #KEYS do redis.call('ZADD', KEYS[position], 0, key.entry) end
else
  redis.call('DEL', KEYS[1])
end

return { 'changed', integer(revision), last_use, commit(revision) }
`,
  'claim-outbox': `-- Claims rows that are due and that nobody has. What was edited into nonsense is dropped where it comes up.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)  KEYS[3] claimed key ids by the end of the lease (sorted set)
-- ARGV[1] a time in ms that replaces the clock, or ''  ARGV[2] the most rows  ARGV[3] the lease in ms
-- ARGV[4] what the ids of the leases begin with  ARGV[5..] only of these key ids; none: of any
--
-- Result: for each row, key id, its text, '1' where the lease before ended by time

local rows = outbox(KEYS[1], KEYS[2])
local now = present(tonumber(ARGV[1]))
local limit, lease_ends = tonumber(ARGV[2]), now + tonumber(ARGV[3])

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', integer(now))
local key_ids = {}
for position = 5, #ARGV do key_ids[#key_ids + 1] = ARGV[position] end
if #ARGV < 5 then key_ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', integer(now), 'LIMIT', 0, limit) end

local found = {}
for _, key_id in ipairs(key_ids) do
  local row = rows.load(key_id)
  if not row then
    rows.remove(key_id)
  elseif rows.claimable_from(row) <= now then
    found[#found + 1] = row
  elseif #ARGV < 5 then
    -- Somebody moved it in the order: it goes back to its place.
    rows.save(row)
  end
end
table.sort(found, function(a, b) return rows.claimable_from(a) < rows.claimable_from(b) end)

local claimed = {}
for position = 1, math.min(limit, #found) do
  local row = found[position]
  claimed[position] = { row.key_id, '', row.lease and '1' or '' }
  row.lease, row.lease_ends = ARGV[4] .. position, lease_ends
  row.attempts, row.due = row.attempts + 1, nil
  redis.call('ZADD', KEYS[3], integer(lease_ends), row.key_id)
  rows.save(row)
  claimed[position][2] = rows.text_of(row)
end
return claimed
`,
  'clear-outbox': `-- Removes rows that were not written anew since they were read, and ends the leases under which they were read.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)  KEYS[3] claimed key ids by the end of the lease (sorted set)
-- ARGV key id, row id, lease or '', key id, row id, lease or '', …
--
-- Result: how many were removed

local rows = outbox(KEYS[1], KEYS[2])
local removed = 0
for position = 1, #ARGV, 3 do
  local key_id, id, lease = ARGV[position], ARGV[position + 1], ARGV[position + 2]
  local row = rows.load(key_id)
  local is_same = row and row.id == id
  if row and (lease == '' and is_same or row.lease == lease) then
    redis.call('ZREM', KEYS[3], key_id)
    if is_same then
      rows.remove(key_id)
      removed = removed + 1
    else
      row.lease, row.lease_ends = nil, nil
      rows.save(row)
    end
  end
end
return removed
`,
  'count-twins': `-- Counts twins by their state.
--
-- KEYS[1] key ids by the number of their state (sorted set)  ARGV[1] how many states there are
-- Result: a number for each state, from 0

local counts = {}
for state = 0, tonumber(ARGV[1]) - 1 do counts[state + 1] = redis.call('ZCOUNT', KEYS[1], state, state) end
return counts
`,
  'defer-outbox': `-- Ends the lease of a row, which is due again later: when its worker says, or when it was asked for since.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)  KEYS[3] claimed key ids by the end of the lease (sorted set)
-- ARGV[1] a time in ms that replaces the clock, or ''  ARGV[2] key id  ARGV[3] row id  ARGV[4] lease  ARGV[5] delay in ms
--
-- Result: 1 if the lease was theirs

local rows = outbox(KEYS[1], KEYS[2])
local row = rows.load(ARGV[2])
if not row or row.lease ~= ARGV[4] then return 0 end

redis.call('ZREM', KEYS[3], row.key_id)
if row.id == ARGV[3] then row.due = present(tonumber(ARGV[1])) + tonumber(ARGV[5]) end
row.lease, row.lease_ends = nil, nil
rows.save(row)
return 1
`,
  due: `-- Finds holds whose lease is over, the oldest of each shard first.
--
-- KEYS leases   act: limit
-- Result: for each, position of its leases, id, end of its lease

local due = {}
for position, key in ipairs(KEYS) do
  local found = redis.call('ZRANGEBYSCORE', key, '-inf', over_until(), 'WITHSCORES', 'LIMIT', 0, act.limit)
  for index = 1, #found, 2 do due[#due + 1] = { position - 1, found[index], tonumber(found[index + 1]) } end
end
return due
`,
  'end-call': `-- Ends one call by a settlement or a cancellation, exactly once. The hold ends with the last of its calls.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   KEYS[3] stream of usage   KEYS[4] days of all keys
-- KEYS[5] sums of the day   KEYS[6] days of the key       KEYS[7..] act.scopeIds, in their order
-- act: kind (settle, cancel), callId, takes, at, tokens, costNanoUsd: what was taken; used {tokens, costNanoUsd};
--   line: what is written; abandoned: the line as it was written when the lease ended; lost: the event of a lost hold
-- Result: state, jumps of the clock, charged budgets: scope, field, spent; or missing, scopes to declare

local ended_ms = 3600000
local keys = { stream = KEYS[3], days = KEYS[4], sums = KEYS[5], days_of_key = KEYS[6] }
local call_field = 'c:' .. act.callId
local positions = {}
for position, id in ipairs(act.scopeIds) do positions[id] = position end

local known = redis.call('HMGET', KEYS[1], 'n', call_field, 's', 'l')
local open_calls, value = tonumber(known[1] or '') or 0, known[2]
local is_open = open_calls > 0
local state = value and value:sub(1, 1)
local closes_hold = is_open and open_calls == 1 and (state == 'o' or state == 'r')

local slots = closes_hold and cjson.decode(known[3]) or {}
local missing = {}
for _, id in ipairs(slots) do
  if not positions[id] then missing[#missing + 1] = id end
end
if #missing > 0 then return { 'missing', {}, missing } end

local scopes = {}
local function scope_of(id)
  local position = positions[id]
  if not scopes[position] then
    local fields = {}
    for _, taken in ipairs(act.takes) do
      if taken.scope == id and taken.kind == 'budget' then fields[#fields + 1] = taken.id end
      if taken.scope == id and taken.kind == 'tokens' then fields[#fields + 1] = 'w:' .. taken.id end
    end
    scopes[position] = load_scope(KEYS[position + 6], id, fields)
  end
  return scopes[position]
end

local function correct_all(correction)
  local charged = {}
  for _, taken in ipairs(act.takes) do
    local scope = scope_of(taken.scope)
    local budget = scope.known and correct(scope, taken, correction)
    if budget and correction.spent ~= 0 then charged[#charged + 1] = { scope.id, budget.field, budget.spent } end
  end
  return charged
end

local function close_call()
  redis.call('HSET', KEYS[1], 'n', open_calls - 1, call_field, 'e')
  if not closes_hold then return end
  for _, id in ipairs(slots) do
    local scope = scope_of(id)
    if scope.known then write(scope, 'o', scope.open - 1) end
  end
  redis.call('HDEL', KEYS[1], 's')
  redis.call('PEXPIRE', KEYS[1], ended_ms)
  redis.call('ZREM', KEYS[2], act.holdId)
end

local function answer(outcome, charged)
  for _, scope in pairs(scopes) do save_scope(scope) end
  local shown = {}
  for index, budget in ipairs(charged or {}) do shown[index] = budget end
  return { outcome, jumps, shown }
end

local is_settlement = act.kind == 'settle'

if is_open and value then
  if state == 'o' then
    local correction = { at = act.at, counted = act.tokens, tokens = 0, held = act.costNanoUsd, spent = 0 }
    if is_settlement then correction.tokens, correction.spent = act.used.tokens, act.used.costNanoUsd end
    local charged = correct_all(correction)
    if is_settlement then append_line(keys, act.line) end
    close_call()
    return answer(is_settlement and 'settled' or 'cancelled', charged)
  end
  -- Whoever ends a call that was replaced gives its slot back, too.
  if state == 'r' then close_call() end
  return answer(state == 'r' and not is_settlement and 'cancelled' or 'already')
end

if state == 'a' then
  local was_charged = struct.unpack('<d', value, 2)
  local correction = { at = act.at, counted = 0, tokens = 0, held = 0, spent = -was_charged }
  if is_settlement then
    correction.tokens, correction.spent = act.used.tokens, act.used.costNanoUsd - was_charged
  end
  local charged = correct_all(correction)
  count_line(keys, act.abandoned, { 1, 0, 0, 0, 0, was_charged, 0 }, -1)
  append_line(keys, is_settlement and act.line or act.abandoned)
  redis.call('HSET', KEYS[1], call_field, 'e')
  return answer(is_settlement and 'late' or 'cancelled', charged)
end

local is_remembered = known[1] ~= false
if is_settlement then
  if value or is_remembered and not is_open and not known[4] then return answer('already') end
  local correction = { at = act.at, counted = 0, tokens = act.used.tokens, held = 0, spent = act.used.costNanoUsd }
  local charged = correct_all(correction)
  act.line.event = act.lost
  append_line(keys, act.line)
  redis.call('HSET', KEYS[1], call_field, 'e')
  if not is_open then
    redis.call('HSET', KEYS[1], 'n', 0, 'l', 1)
    redis.call('PEXPIRE', KEYS[1], ended_ms)
  end
  return answer('lost_hold', charged)
end

if is_remembered and not is_open then return answer('already') end
-- A cancellation may overtake the admission that it cancels.
redis.call('HSET', KEYS[1], call_field, 'e')
if not is_open then
  redis.call('HSET', KEYS[1], 'n', 0)
  redis.call('PEXPIRE', KEYS[1], ended_ms)
end
return answer('cancelled')
`,
  'enqueue-outbox': `-- Writes rows that belong to no change.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)
-- ARGV[1] a time in ms that replaces the clock, or ''  ARGV[2] after how many ms they are due
-- ARGV[3..] key id, row id, key id, row id, …
--
-- Result: 1

local rows = outbox(KEYS[1], KEYS[2])
local now = present(tonumber(ARGV[1]))
local due = now + tonumber(ARGV[2])

for position = 3, #ARGV, 2 do
  local row = rows.load(ARGV[position]) or { key_id = ARGV[position], revision = 0 }
  row.id, row.at, row.attempts = ARGV[position + 1], now, 0
  row.due = math.min(row.due or due, due)
  rows.save(row)
end
return 1
`,
  fence: `-- Raises the fence of a scope and carries its budgets over; makes a scope known, by a new record or by a seed.
--
-- KEYS[1] the scope (hash)   KEYS[2] its nonce (string)
-- act: revision, carries, isNew, isClosed, nonce (a seed: only of an unknown scope whose nonce it is), retentionMs
-- Result: fenced, already, unknown

local scope = load_scope(KEYS[1], '', {})
if act.nonce then
  if scope.known then return 'already' end
  if redis.call('GET', KEYS[2]) ~= act.nonce then return 'unknown' end
elseif scope.known then
  -- A call judged by the changed record may have brought its revision, and carries nothing over.
  if scope.revision > act.revision and not (act.isClosed and not scope.closed) then return 'already' end
elseif not act.isNew and not act.isClosed then
  -- What is yet to be seeded with an earlier nonce was read before this change.
  redis.call('DEL', KEYS[2])
  return 'unknown'
end

local revision = math.max(scope.revision, act.revision)
for _, carry in ipairs(act.carries) do carry_budget(scope, carry) end
prune_budgets(scope)
write(scope, 'v', (scope.closed or act.isClosed) and -revision or revision)
save_scope(scope)
redis.call('DEL', KEYS[2])
-- Late settlements still count while their holds may be remembered.
if act.isClosed then redis.call('PEXPIRE', KEYS[1], act.retentionMs) end
return 'fenced'
`,
  'insert-alert': `-- Keeps an alert, unless one of its id is there. The oldest go where there are too many.
--
-- KEYS[1] entry by alert id (hash)  KEYS[2] entries (sorted set)  KEYS[3] rows by entry (hash)
-- ARGV[1] id  ARGV[2] row  ARGV[3] the most rows  ARGV[4] a time in ms that replaces the clock, or ''
--
-- Result: the time in ms, or '' where the alert exists

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return '' end
redis.call('ZCARD', KEYS[2])
redis.call('HLEN', KEYS[3])

local now = present(tonumber(ARGV[4]))
local entry = string.format('%016.0f', now) .. ARGV[1]
redis.call('HSET', KEYS[1], ARGV[1], entry)
redis.call('ZADD', KEYS[2], 0, entry)
redis.call('HSET', KEYS[3], entry, ARGV[2])
for _ = 1, math.min(2, redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])) do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  redis.call('HDEL', KEYS[3], oldest)
  redis.call('HDEL', KEYS[1], string.sub(oldest, 17))
end
return integer(now)
`,
  'ledger-counters': `-- The counters of scopes, as lib/limits/window.ts and counters.ts have them. Stands before the acts of the ledger.
--
-- A scope is a hash. v: the revision of its record, negative once the record is gone. o: its open holds.
-- w:<id>: a window, packed: length in ms, newest cell, total, count of the newest cell.
-- r:<id>: the earlier cells of a window that counted, oldest first, packed: cell, count.
-- b:<start>:<id>: a budget in a period, packed: spent, held, end (-1: none); then the field that took it over, if any.
--
-- ARGV[1] the act, as JSON of texts, whole numbers and flags

local act = cjson.decode(ARGV[1])
local cells_per_window = 60
local period_retention_ms = 86400000

local function present()
  if act.nowMs then return act.nowMs end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local now = present()
local jumps = {}

-- Reads the fields that an act is known to need in one command; value_of reads what else it comes upon.
local function load_scope(key, id, fields)
  local values = redis.call('HMGET', key, 'v', 'o', unpack(fields))
  local revision = tonumber(values[1] or '')
  local scope = {
    key = key,
    id = id,
    known = revision ~= nil,
    closed = revision ~= nil and revision < 0,
    revision = math.abs(revision or 0),
    open = tonumber(values[2] or '') or 0,
    values = {},
    windows = {},
    budgets = {},
    writes = {},
    deleted = {},
  }
  for index, field in ipairs(fields) do scope.values[field] = values[index + 2] end
  return scope
end

local function value_of(scope, field)
  local value = scope.values[field]
  if value == nil then
    value = redis.call('HGET', scope.key, field)
    scope.values[field] = value
  end
  return value
end

local function write(scope, field, value)
  scope.writes[#scope.writes + 1] = field
  scope.writes[#scope.writes + 1] = value
end

local function restart(window, cell, total)
  window.cell, window.total, window.current, window.finished = cell, total, total, ''
end

local function roll(scope, window)
  local cell = math.floor(now / window.cell_ms)
  local ahead = cell - window.cell
  if ahead <= 0 and ahead >= -cells_per_window then return end
  if ahead > cells_per_window or window.total == 0 then return restart(window, cell, 0) end
  if ahead < 0 then
    restart(window, cell, window.total)
    window.changed = true
    jumps[#jumps + 1] = { scope.id, window.id }
    return
  end
  local finished = window.finished or value_of(scope, 'r:' .. window.id) or ''
  if window.current ~= 0 then finished = finished .. struct.pack('<dd', window.cell, window.current) end
  local from = 1
  while from <= #finished do
    local at, count = struct.unpack('<dd', finished, from)
    if at >= cell - cells_per_window then break end
    window.total = window.total - count
    from = from + 16
  end
  window.finished, window.cell, window.current = finished:sub(from), cell, 0
end

-- The window, brought up to the present.
local function window_of(scope, id, window_ms)
  local window = scope.windows[id]
  if window then return window end
  local packed = value_of(scope, 'w:' .. id)
  if packed then
    local ms, cell, total, current = struct.unpack('<dddd', packed)
    window = { id = id, window_ms = ms, cell_ms = ms / cells_per_window, cell = cell, total = total, current = current }
  else
    local cell_ms = window_ms / cells_per_window
    window = { id = id, window_ms = window_ms, cell_ms = cell_ms, cell = 0, total = 0, current = 0, finished = '' }
  end
  scope.windows[id] = window
  roll(scope, window)
  return window
end

local function finished_of(scope, window)
  if not window.finished then window.finished = value_of(scope, 'r:' .. window.id) or '' end
  return window.finished
end

local function take_from_window(window, amount)
  window.current, window.total, window.changed = window.current + amount, window.total + amount, true
end

-- How much of an amount taken at this moment still counts in its cell, and where its cell stands.
local function returnable(scope, window, taken_at, amount)
  local cell = math.floor(taken_at / window.cell_ms)
  if cell == window.cell then return math.min(amount, window.current), 0 end
  if cell > window.cell or window.cell - cell > cells_per_window then return 0, 0 end
  local finished = finished_of(scope, window)
  for from = 1, #finished, 16 do
    local at, count = struct.unpack('<dd', finished, from)
    if at == cell then return math.min(amount, count), from end
  end
  return 0, 0
end

local function give_back(scope, window, taken_at, amount)
  local given, from = returnable(scope, window, taken_at, amount)
  if given == 0 then return end
  window.total, window.changed = window.total - given, true
  if from == 0 then
    window.current = window.current - given
    return
  end
  local finished = window.finished
  local at, count = struct.unpack('<dd', finished, from)
  window.finished = finished:sub(1, from - 1) .. struct.pack('<dd', at, count - given) .. finished:sub(from + 16)
end

-- Milliseconds until the amount fits if nothing is given back; -1: never.
local function wait_for_room(scope, window, amount, limit)
  if amount > limit then return -1 end
  local excess = window.total + amount - limit
  if excess <= 0 then return 0 end
  local finished = finished_of(scope, window)
  for from = 1, #finished, 16 do
    local at, count = struct.unpack('<dd', finished, from)
    excess = excess - count
    if excess <= 0 then return (at + cells_per_window + 1) * window.cell_ms - now end
  end
  if excess - window.current > 0 then return -1 end
  return (window.cell + cells_per_window + 1) * window.cell_ms - now
end

local function budget_at(scope, field)
  local budget = scope.budgets[field]
  if budget then return budget end
  local packed = value_of(scope, field)
  if not packed then return nil end
  local spent, held, ends = struct.unpack('<ddd', packed)
  budget = { field = field, spent = spent, held = held, ends = ends, moved = packed:sub(25) }
  scope.budgets[field] = budget
  return budget
end

local function latest(scope, budget)
  while budget.moved ~= '' do budget = budget_at(scope, budget.moved) end
  return budget
end

local function find_budget(scope, field)
  local budget = budget_at(scope, field)
  return budget and latest(scope, budget)
end

local function start_of(field) return tonumber(field:match('^b:(%-?%d+):')) end
local function id_of(field) return field:match('^b:%-?%d+:(.*)$') end

local function all_budgets(scope)
  for _, field in ipairs(redis.call('HKEYS', scope.key)) do
    if field:sub(1, 2) == 'b:' then budget_at(scope, field) end
  end
  return scope.budgets
end

local function add_budget(scope, field, ends)
  local budget = { field = field, spent = 0, held = 0, ends = ends, moved = '', changed = true }
  scope.budgets[field] = budget
  return budget
end

-- Forgets budgets whose period ended more than a day ago, and under which nothing is held.
local function prune_budgets(scope)
  local forgotten = {}
  for field, budget in pairs(all_budgets(scope)) do
    local is_kept = budget.ends < 0 or budget.ends + period_retention_ms > now or latest(scope, budget).held > 0
    if not is_kept then forgotten[field] = true end
  end
  if next(forgotten) == nil then return end
  for field, budget in pairs(scope.budgets) do
    if not forgotten[field] and budget.moved ~= '' then
      local stand = latest(scope, budget).field
      budget.moved, budget.changed = forgotten[stand] and '' or stand, true
    end
  end
  for field in pairs(forgotten) do
    scope.budgets[field], scope.values[field] = nil, false
    scope.deleted[#scope.deleted + 1] = field
  end
end

local function open_budget(scope, field, ends)
  local budget = find_budget(scope, field)
  if not budget then
    prune_budgets(scope)
    budget = add_budget(scope, field, ends)
  end
  if start_of(budget.field) == start_of(field) then budget.ends = ends end
  return budget
end

local function move_budget(source, target)
  if source == target then return end
  target.held = target.held + source.held
  source.held, source.spent, source.moved, source.changed = 0, 0, target.field, true
end

local function carry_budget(scope, carry)
  local source = carry.from and find_budget(scope, carry.from)
  local target = budget_at(scope, carry.field) or add_budget(scope, carry.field, carry.ends)
  local stand = latest(scope, target)
  target.ends, target.changed = carry.ends, true
  if source == target then return end
  target.moved = ''
  target.spent = math.max(target.spent, source and source.spent or 0, carry.opening)
  move_budget(stand, target)
  if source then move_budget(source, target) end
  if not carry.from then return end
  local start, id = start_of(carry.field), id_of(carry.from)
  for field, budget in pairs(all_budgets(scope)) do
    local reaches = budget.ends < 0 or budget.ends > start
    if reaches and id_of(field) == id and budget.moved == '' then move_budget(budget, target) end
  end
end

-- A counter that was lost or forgotten. One of a period that has been followed by another serves nobody any more.
local function reopen(scope, field)
  local id, start = id_of(field), start_of(field)
  for other in pairs(all_budgets(scope)) do
    if id_of(other) == id and start_of(other) > start then return nil end
  end
  return add_budget(scope, field, -1)
end

-- Replaces what a call took from one limit by what it consumed; answers the budget that it changed.
local function correct(scope, taken, correction)
  if taken.kind == 'tokens' then
    local window = window_of(scope, taken.id, taken.size)
    local more = correction.tokens - correction.counted
    if more > 0 then take_from_window(window, more)
    elseif more < 0 then give_back(scope, window, correction.at, -more) end
  elseif taken.kind == 'budget' then
    local budget = find_budget(scope, taken.id) or reopen(scope, taken.id)
    if not budget then return nil end
    budget.held = budget.held - correction.held
    budget.spent = math.max(0, budget.spent + correction.spent)
    budget.changed = true
    return budget
  end
end

-- Starts or renews a lease. The fraction keeps holds of one millisecond in their order; a score has 12 bits to spare.
local function start_lease(leases, hold_id, lease_ms)
  local ends = now + lease_ms
  local range = { string.format('(%.0f', ends + 1), string.format('%.0f', ends) }
  local last = redis.call('ZREVRANGEBYSCORE', leases, range[1], range[2], 'WITHSCORES', 'LIMIT', 0, 1)[2]
  local score = last and math.min(tonumber(last) + 1 / 4096, ends + 4095 / 4096) or ends
  redis.call('ZADD', leases, score, hold_id)
end

local function is_over(lease_ends) return math.floor(tonumber(lease_ends)) <= now end

-- The latest score of a lease that is over.
local function over_until() return '(' .. string.format('%.0f', now + 1) end

local function save_scope(scope)
  for id, window in pairs(scope.windows) do
    if window.changed then
      write(scope, 'w:' .. id, struct.pack('<dddd', window.window_ms, window.cell, window.total, window.current))
      if window.finished then write(scope, 'r:' .. id, window.finished) end
    end
  end
  for field, budget in pairs(scope.budgets) do
    if budget.changed then
      write(scope, field, struct.pack('<ddd', budget.spent, budget.held, budget.ends) .. budget.moved)
    end
  end
  if #scope.deleted > 0 then redis.call('HDEL', scope.key, unpack(scope.deleted)) end
  if #scope.writes > 0 then redis.call('HSET', scope.key, unpack(scope.writes)) end
end
`,
  'ledger-usage': `-- The usage record: lines in a stream, and sums by the hour. Stands before the acts that write it.
--
-- act.usage.maxEvents, act.usage.retentionMs; a line: event (JSON), and where it is summed: field, other, day, key, sums
-- usage_keys: the stream, and the set of days of all keys; a line's own keys: its sums (hash), the days of its key (set)

local max_sums_per_day = 1000

local function write_line(stream, event)
  redis.call('XADD', stream, 'MAXLEN', '~', act.usage.maxEvents, '*', 'e', event)
end

-- Beyond so many sums of one key and day, all further models are one.
local function field_of(line, sums_key)
  if redis.call('HEXISTS', sums_key, line.field) == 1 then return line.field end
  local count = redis.call('HLEN', sums_key)
  return count >= max_sums_per_day and line.other or line.field, count == 0
end

local function count_line(keys, line, sums, sign)
  local field, is_new = field_of(line, keys.sums)
  local packed = redis.call('HGET', keys.sums, field)
  local total = packed and { struct.unpack('<ddddddd', packed) } or { 0, 0, 0, 0, 0, 0, 0 }
  for index = 1, 7 do total[index] = total[index] + sign * sums[index] end
  redis.call('HSET', keys.sums, field, struct.pack('<ddddddd', unpack(total, 1, 7)))
  if not is_new then return end
  redis.call('PEXPIRE', keys.sums, act.usage.retentionMs)
  redis.call('ZADD', keys.days, line.day, line.key)
  redis.call('ZREMRANGEBYSCORE', keys.days, '-inf', math.floor((now - act.usage.retentionMs) / 86400000) - 1)
  redis.call('SADD', keys.days_of_key, line.day)
  redis.call('PEXPIRE', keys.days_of_key, act.usage.retentionMs)
end

local function append_line(keys, line)
  write_line(keys.stream, line.event)
  count_line(keys, line, line.sums, 1)
end
`,
  'outbox-backlog': `-- Counts the rows that may be claimed, are claimed, and come due later.
--
-- KEYS[1] order (sorted set)  KEYS[2] claimed key ids by the end of the lease (sorted set)
-- ARGV[1] a time in ms that replaces the clock, or ''
--
-- Result: the three numbers

local now = integer(present(tonumber(ARGV[1])))
local due = redis.call('ZCOUNT', KEYS[1], '-inf', now)
local claimed = redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf')
return { due, claimed, math.max(0, redis.call('ZCARD', KEYS[1]) - due - claimed) }
`,
  'outbox-rows': `-- The rows of the outbox, one a key. Stands before the scripts that read or write them.
--
-- A row is a text: id, revision, time of writing, when it is due, attempts, lease, end of the lease; '-' for none. One
-- that is claimed is not due before more is asked for. Older versions wrote the first three alone, of rows that are due.
--
-- order (sorted set) has the key ids by the moment from which each may be claimed, rows (hash) the texts by key id.

local function outbox(order, rows)
  local function claimable_from(row)
    return row.lease_ends or row.due or 0
  end

  -- nil where there is none, or one that was edited into nonsense.
  local function load(key_id)
    local text = redis.call('HGET', rows, key_id)
    if not text then return nil end
    local parts = '^(%S+) (%d+) (%d+) ([%d-]+) (%d+) (%S+) ([%d-]+)'
    local id, revision, at, due, attempts, lease, lease_ends = string.match(text .. ' 0 0 - -', parts)
    if not id then return nil end
    local row = { key_id = key_id, id = id, revision = tonumber(revision), at = tonumber(at) }
    row.due, row.attempts = tonumber(due), tonumber(attempts)
    if lease ~= '-' and tonumber(lease_ends) then row.lease, row.lease_ends = lease, tonumber(lease_ends) end
    return row
  end

  local function text_of(row)
    local due = row.due and integer(row.due) or '-'
    local lease_ends = row.lease_ends and integer(row.lease_ends) or '-'
    local parts = { row.id, integer(row.revision), integer(row.at), due, integer(row.attempts), row.lease or '-', lease_ends }
    return table.concat(parts, ' ')
  end

  local function save(row)
    redis.call('ZADD', order, integer(claimable_from(row)), row.key_id)
    redis.call('HSET', rows, row.key_id, text_of(row))
  end

  local function remove(key_id)
    redis.call('ZREM', order, key_id)
    redis.call('HDEL', rows, key_id)
  end

  return { claimable_from = claimable_from, load = load, text_of = text_of, save = save, remove = remove }
end
`,
  present: `-- The time, and whole numbers as texts. Stands before the scripts of the records.

local function integer(number)
  return string.format('%.0f', number)
end

-- In ms: a time that is given in place of the clock, or that of the server.
local function present(given)
  if given then return given end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
`,
  'put-twin': `-- Stores a twin: inserts version 1, or replaces the version before. A row that was edited into nonsense is as good as none.
--
-- KEYS[1] rows (hash of version, state and details by key id)  KEYS[2] key ids by the number of their state (sorted set)
-- ARGV[1] key id  ARGV[2] version  ARGV[3] state  ARGV[4] number of the state  ARGV[5] details
--
-- Result: 1 if it was stored

local row = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local version = tonumber(string.match(row, '^(%d+) %a+ ') or 0)
if version ~= tonumber(ARGV[2]) - 1 then return 0 end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[5])
return 1
`,
  'read-entries': `-- Reads the next entries of a list, newest first, with what a filter has to know of each.
--
-- KEYS[1] entries (sorted set)  KEYS[2] texts by entry (hash)
-- ARGV[1] the entry to begin after, or '+'  ARGV[2] how many
--
-- Result: { entries, texts }

local from = ARGV[1] == '+' and '+' or '(' .. ARGV[1]
local entries = redis.call('ZREVRANGEBYLEX', KEYS[1], from, '-', 'LIMIT', 0, ARGV[2])
local texts = {}
for position, entry in ipairs(entries) do texts[position] = redis.call('HGET', KEYS[2], entry) or '' end
return { entries, texts }
`,
  'read-hold': `-- Reads the open calls of a hold.
--
-- KEYS[1] the hold (hash)
-- Result: scopes of its slots (JSON), then for each open call, the first one first: id, at, tokens, cost, body

local found = {}
local slots = '[]'
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local field, value = fields[index], fields[index + 1]
  if field == 's' then slots = value end
  if field:sub(1, 2) == 'c:' and value:sub(1, 1) == 'o' then
    local at, _, _, tokens, cost, _, order, count, from = struct.unpack('<dddddddd', value, 2)
    found[#found + 1] = { field:sub(3), at, tokens, cost, value:sub(from + count * 8), order }
  end
end
table.sort(found, function(a, b) return a[6] < b[6] end)
return { slots, found }
`,
  'read-sums': `-- Reads sums of usage.
--
-- KEYS sums of a key and a day (hashes)
-- Result: for each, field, requests, input, output, cache read, cache write, cost, adjusted

local answer = {}
for position, key in ipairs(KEYS) do
  local rows = {}
  local fields = redis.call('HGETALL', key)
  for index = 1, #fields, 2 do
    local sums = { struct.unpack('<ddddddd', fields[index + 1]) }
    rows[#rows + 1] = { fields[index], unpack(sums, 1, 7) }
  end
  answer[position] = rows
end
return answer
`,
  'record-change': `-- What every change of a record does besides: its time, its revision, and the rows that are written in the same act.
-- Stands before the script of the change, and after present.lua and outbox-rows.lua.
--
-- KEYS[1] the record (hash)           KEYS[2] the latest number of a row (string)
-- KEYS[3] audit entries (sorted set)  KEYS[4] audit rows (hash)
-- KEYS[5] outbox order (sorted set)   KEYS[6] outbox rows (hash), as in outbox-rows.lua
-- KEYS[7] pending fences (sorted set of scope, number, revision and fence, with NUL in between)
--
-- ARGV[1] the change, as JSON of texts, whole numbers and flags. Records are texts in it and stay what they are: cjson
-- would turn an empty list into an object, and write no more than 14 digits of a number.

local change = cjson.decode(ARGV[1])

-- Nothing is taken back when a command fails on a key of another type: that is looked for before the first write.
local function expect(kind, ...)
  for _, key in ipairs({ ... }) do
    local found = redis.call('TYPE', key).ok
    if found ~= kind and found ~= 'none' then
      error('A key of the records is a ' .. found .. ' where a ' .. kind .. ' belongs')
    end
  end
end

expect('hash', KEYS[1], KEYS[4], KEYS[6])
expect('string', KEYS[2])
expect('zset', KEYS[3], KEYS[5], KEYS[7])

local now = present(change.nowMs)

local function next_revision(current)
  if not change.raises then return current end
  return math.max(current + 1, now * 1000)
end

-- The version of the record as it is, 0 where there is none.
local function stored_number(field)
  return tonumber(redis.call('HGET', KEYS[1], field) or '') or 0
end

local function write_audit(number)
  local entry = string.format('%016.0f', number) .. change.auditLabel
  redis.call('ZADD', KEYS[3], 0, entry)
  redis.call('HSET', KEYS[4], entry, integer(now) .. ' ' .. change.audit)
  for _ = 1, math.min(2, redis.call('ZCARD', KEYS[3]) - change.maxAuditRows) do
    redis.call('HDEL', KEYS[4], redis.call('ZPOPMIN', KEYS[3])[1])
  end
end

-- The row of an earlier change gives way; whoever has claimed it keeps it.
local function mark_key(revision)
  local rows = outbox(KEYS[5], KEYS[6])
  local row = rows.load(change.outbox.keyId) or { key_id = change.outbox.keyId }
  row.id, row.revision, row.at, row.due, row.attempts = change.outbox.id, revision, now, now, 0
  rows.save(row)
end

-- Writes the rows, tells who listens, and answers the fences of this scope that are pending, oldest first.
local function commit(revision)
  local number = redis.call('INCR', KEYS[2])
  write_audit(number)
  if change.outbox then mark_key(revision) end
  if not change.scopeId then return {} end
  if change.fence then
    local fence = { change.scopeId, string.format('%016.0f', number), integer(revision), change.fence }
    redis.call('ZADD', KEYS[7], 0, table.concat(fence, '\\0'))
  end
  -- A user that may not publish changes records all the same.
  redis.pcall('PUBLISH', change.channel, integer(revision) .. ' ' .. change.scopeId)
  return redis.call('ZRANGEBYLEX', KEYS[7], '[' .. change.scopeId .. '\\0', '(' .. change.scopeId .. '\\1')
end
`,
  'remove-twin': `-- Removes a twin of this version.
--
-- KEYS[1] rows (hash of version, state and details by key id)  KEYS[2] key ids by the number of their state (sorted set)
-- ARGV[1] key id  ARGV[2] version
--
-- Result: 1 if it was removed

local row = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if string.match(row, '^(%d+) %a+ ') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
`,
  renew: `-- Renews the lease of a hold.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   act: holdId, leaseMs
-- Result: renewed, ended; over: its lease has run out and it is yet to be ended

local ends = redis.call('ZSCORE', KEYS[2], act.holdId)
if not ends then return 'ended' end
if is_over(ends) then return 'over' end
start_lease(KEYS[2], act.holdId, act.leaseMs)
return 'renewed'
`,
  'touch-key': `-- Moves the last use of a key forward.
--
-- KEYS[1] the record (hash)   ARGV[1] when it was used, in ms
-- Result: 1 if it moved

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if (tonumber(redis.call('HGET', KEYS[1], 'lastUsedAtMs') or '') or 0) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'lastUsedAtMs', ARGV[1])
return 1
`,
};
