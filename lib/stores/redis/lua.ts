// Made of lua/*.lua by scripts/embed-files.mjs.
export const luaFiles = {
  abandon: `-- Ends a hold whose lease is over: slot and tokens go back, each open call is charged as it was to be.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   KEYS[3] stream of usage   KEYS[4] days of all keys
-- KEYS[5..] scopes; then of each call: sums of its day, days of its key
-- ARGV[2], ARGV[3] as in ledger-usage.lua   ARGV[4] id of the hold
-- ARGV[5] what is expected, as JSON: scopes, how many; slots, positions of scopes; calls {id, at, tokens, cost, charged,
--   takes {position, field}, line; others: the other shards from which it took; all, its takes in all of them}
-- Result: state (abandoned, kept: it was renewed, has ended or has other calls by now), jumps, charged budgets by call:
--   position of the scope, field, spent, the other shards of the hold

local abandoned_ms = 86400000
local hold_id, expected = ARGV[4], cjson.decode(ARGV[5])
local ends = redis.call('ZSCORE', KEYS[2], hold_id)
if not ends or not is_over(ends) then return { 'kept', jumps, {}, '' } end

local open_calls = redis.call('HGET', KEYS[1], 'n')
-- Lost with its node, while its lease was not.
if not open_calls then redis.call('ZREM', KEYS[2], hold_id) end
-- Another process may have ended it, and waits for other shards.
if not open_calls or open_calls == '0' then return { 'kept', jumps, {}, '' } end

local is_expected = {}
for _, call in ipairs(expected.calls) do is_expected['c:' .. call.id] = true end
local changes = { 'n', 0 }
local found = 0
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local field, state = fields[index], fields[index + 1]:sub(1, 1)
  if field:sub(1, 2) == 'c:' and state == 'o' then
    if not is_expected[field] then return { 'kept', jumps, {}, '' } end
    found = found + 1
  elseif field:sub(1, 2) == 'c:' then
    changes[#changes + 1] = field
    changes[#changes + 1] = 'e'
  end
end
if found ~= #expected.calls then return { 'kept', jumps, {}, '' } end

local scopes = {}
for position = 1, expected.scopes do scopes[position] = load_scope(position, KEYS[position + 4]) end

local charged = {}
for index, call in ipairs(expected.calls) do
  local correction = { at = call.at, counted = call.tokens, tokens = 0, held = call.cost, spent = call.charged }
  local of_call = {}
  for _, taken in ipairs(call.takes) do
    local scope = scopes[taken.position]
    local budget = scope.known and correct(scope, taken.field, correction)
    if budget and correction.spent ~= 0 then of_call[#of_call + 1] = { taken.position, budget.field, budget.spent } end
  end
  charged[index] = of_call
  local at = expected.scopes + 4 + index * 2 - 1
  append_line({ stream = KEYS[3], days = KEYS[4], sums = KEYS[at], days_of_key = KEYS[at + 1] }, call.line)
  changes[#changes + 1] = 'c:' .. call.id
  changes[#changes + 1] = 'a' .. struct.pack('<d', call.charged)
  if call.others then leave_to_others(call.others, call.id, 'a', 0, call.charged, call.all) end
end
for _, position in ipairs(expected.slots) do
  if scopes[position].known then take_slots(scopes[position], -1) end
end
for _, scope in ipairs(scopes) do save_scope(scope) end
redis.call('HSET', KEYS[1], unpack(changes))
local others = redis.call('HGET', KEYS[1], 'p')
if others then
  await_others(hold_id)
else
  redis.call('PEXPIRE', KEYS[1], abandoned_ms)
  redis.call('ZREM', KEYS[2], hold_id)
end
return { 'abandoned', jumps, charged, others or '' }
`,
  account: `-- Money that comes or goes without a hold, once for each id: an adjustment, or usage that was measured elsewhere.
--
-- KEYS[1] the mark of its id (string)   KEYS[2] stream of usage   KEYS[3] days of all keys   KEYS[4] sums of the day
-- KEYS[5] days of the key               KEYS[6..] scopes
-- ARGV[2], ARGV[3] as in ledger-usage.lua
-- ARGV[4] the act, as JSON: scopes, how many; budgets {position, field, ends}; cost: what they are charged, absent: they
--   are set to zero; line, which the home of the key alone has; before and after: an adjustment's event around the number that is known here alone
-- Result: state (done, already), what the first budget had spent, charged budgets: position of the scope, field, spent

if redis.call('EXISTS', KEYS[1]) == 1 then return { 'already', 0, {} } end
local act = cjson.decode(ARGV[4])
local scopes = {}
for position = 1, act.scopes do scopes[position] = load_scope(position, KEYS[position + 5]) end
-- Not before: what cannot be read fails, and is not done.
redis.call('SET', KEYS[1], 1, 'PX', 86400000)

local charged, first = {}, 0
for index, asked in ipairs(act.budgets) do
  local scope = scopes[asked.position]
  if scope.known and act.cost then
    if act.cost ~= 0 then
      local budget = budget_of(scope, asked.field, asked.ends)
      budget.spent = budget.spent + act.cost
      write_budget(scope, budget)
      charged[#charged + 1] = { asked.position, budget.field, budget.spent }
    end
  elseif scope.known then
    local budget = find_budget(scope, asked.field)
    if budget then
      if index == 1 then first = budget.spent end
      budget.spent = 0
      write_budget(scope, budget)
    end
  end
end
for _, scope in ipairs(scopes) do save_scope(scope) end

local keys = { stream = KEYS[2], days = KEYS[3], sums = KEYS[4], days_of_key = KEYS[5] }
if act.cost then
  if act.line then append_line(keys, act.line) end
elseif first ~= 0 then
  act.line.event = act.before .. string.format('%.0f', -first) .. act.after
  act.line.sums = { 0, 0, 0, 0, 0, 0, -first }
  append_line(keys, act.line)
end
return { 'done', first, charged }
`,
  'admit-alone': `-- Admits a call at once, if it is one that can be. Stands after admit-at-once; what follows it decides about the others.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)   KEYS[3..] the scopes of the plan, in its order,
-- then further ones of ARGV[5].scopes (hashes)
-- numbers: minted at, tokens, cost, not after (-1: no end), lease in ms
-- ARGV[2] the plan, as JSON
-- ARGV[3] what is kept of the call beside its numbers: in the first line takes, in the next what no script reads
-- ARGV[4] id of the hold
-- ARGV[5] of all but a simple first call, as JSON: clamp; callId, replacesFirst; scopes: names of the scopes in KEYS;
--   others: shards where the call was let in before (ledger-parts.lua); or, of a call in one of those: home, its shard;
--   slots, names of the scopes that it takes a slot of; isProbe: nothing is to be taken
-- Result: the numbers of a call that was admitted at once, as below. Else outcome, jumps of the clock, then by outcome,
-- with positions from 1
--   admitted: numbers of the call: at, tokens, cost, output tokens (-1: no clamp), remaining of each limit (-1: none)
--   repeated: the same, body
--   refused: position (0: the request alone is too large), retry in ms (-1: never), remaining, whether leases are over
--   fits: remaining, output tokens (-1: no clamp); of a probe that is not refused
--   stale: position of the scope, revision    unseeded: positions    stale_clock: now    missing: scopes to declare
--   over: the lease of the hold is over       not_first: the first call has ended, and nobody takes its place
--   expired, id_conflict, hold_ended, too_old

local _, minted_at, tokens, cost, not_after, lease_ms = unpack(numbers)
local plan, body, hold_id = cjson.decode(ARGV[2]), ARGV[3], ARGV[4]
local max_tokens = plan[3]

-- Opens the hold with its first call.
local function open_hold(taken)
  redis.call('HSET', KEYS[1], 'n', 1, 'c:', pack_call(numbers[3], numbers[4], 0, taken, body))
  redis.call('ZADD', KEYS[2], instant + lease_ms, hold_id)
end

local fits_alone = max_tokens < 0 or tokens <= max_tokens
if not ARGV[5] and fits_alone and is_timely(plan, minted_at, not_after) and redis.call('EXISTS', KEYS[1]) == 0 then
  local left = take_at_once(plan, 2, 1, tokens, cost)
  if left then
    local taken = { now, tokens, cost, -1, unpack(left) }
    open_hold(taken)
    return taken
  end
end
`,
  'admit-at-once': `-- Most admissions: first calls without a clamp, whose scopes are known under these revisions, whose counters are there,
-- and which fit. One pass takes all. Whatever is else changes nothing here, and is decided by
-- admit. Stands after ledger-windows; tells what a plan is.
--
-- A plan is a list: valid from, valid until, the most tokens of a request (-1: any), number of scopes, of limits; of each
-- scope: revision, number of its limits; then the fields of all limits, then their amounts (-1: none), then the ends of
-- those that are budgets (-1: none).

local oldest_admission_ms = 300000

-- Whether a call may be admitted at this time, whatever counts.
local function is_timely(plan, minted_at, not_after)
  return now - minted_at <= oldest_admission_ms
    and (not_after < 0 or now < not_after) and now >= plan[1] and now < plan[2]
end

-- Takes what so many calls under a plan take together, with its scopes in KEYS after so many others; answers what is left
-- of each limit (-1: it has none), or nothing.
local function take_at_once(plan, keys_before, calls, tokens, cost)
  local left_of, takings = {}, {}
  local limit_count = plan[5]
  local fields_at = 5 + plan[4] * 2
  local index, next_end = fields_at, fields_at + limit_count * 2
  for position = 1, plan[4] do
    local revision, count = plan[4 + position * 2], plan[5 + position * 2]
    local key = KEYS[keys_before + position]
    local values = redis.call('HMGET', key, 'v', unpack(plan, index + 1, index + count))
    if not values[1] and (revision > 0 or count > 0) then return nil end
    if values[1] and tonumber(values[1]) ~= revision then return nil end
    local taking, rolls = { 'HSET', key }, nil
    for at = 2, count + 1 do
      index = index + 1
      local field, limit, value = plan[index], plan[index + limit_count], values[at]
      local kind = field:sub(1, 1)
      local left
      if kind == 'o' then
        value = (tonumber(value) or 0) + calls
        left = limit - value
      elseif not value then
        return nil
      elseif kind == 'b' then
        local spent, held, ends = struct.unpack('<ddd', value)
        next_end = next_end + 1
        if #value > 24 or ends ~= plan[next_end] then return nil end
        value = struct.pack('<ddd', spent, held + cost, ends)
        left = limit - (spent + held) - cost
      else
        local cell_ms, cell, total, current = struct.unpack('<dddd', value)
        local start, amount = cell * cell_ms, kind == 'q' and calls or tokens
        if now < start or now >= start + cell_ms then
          local earlier, is_jump
          cell, total, current, earlier, is_jump = rolled(key, field, cell_ms, cell, total, current)
          if is_jump then return nil end
          if earlier then
            rolls = rolls or { 'HSET', key }
            local at_end = #rolls
            rolls[at_end + 1], rolls[at_end + 2] = 'r:' .. field, earlier
          end
        end
        value = struct.pack('<dddd', cell_ms, cell, total + amount, current + amount)
        left = limit - total - amount
      end
      if limit < 0 then left = -1 elseif limit == 0 or left < 0 then return nil end
      taking[at * 2 - 1], taking[at * 2] = field, value
      left_of[index - fields_at] = left
    end
    if count > 0 then takings[#takings + 1] = taking end
    takings[#takings + 1] = rolls
  end
  for _, taking in ipairs(takings) do redis.call(unpack(taking)) end
  return left_of
end

-- A call as holds keep it. tokens, cost: what was asked for; order: how many fields the hold had before; taken: its numbers
local function pack_call(tokens, cost, order, taken, body)
  local count = #taken
  return 'o' .. struct.pack('<dddd' .. ('d'):rep(count), tokens, cost, order, count, unpack(taken)) .. body
end
`,
  'admit-together': `-- Admits simple first calls that came together; those under one plan all, or none of them.
--
-- KEYS[1] leases of their shard (sorted set); then of each plan the holds of its calls, and its scopes (hashes)
-- numbers: of each plan how many calls it has; of each of these minted at, tokens, cost, not after (-1: no end), lease in ms
-- ARGV[2..] of each plan itself, as JSON; its takes; then of each call what else admit-alone.lua keeps, and the id of its hold
-- Result: of each plan now, and what is left of each limit after all its calls (-1: it has none); or nothing: each of its
--   calls is to be admitted alone

local numbers_per_call = 5

-- Where the numbers, keys and texts of the next plan stand.
local number_at, key_at, text_at = 2, 2, 2
-- Those that have not come yet: a fraction of the time tells apart what came together.
local calls_left = (#numbers - 1) / numbers_per_call

local function numbers_of(call)
  local from = number_at + 1 + (call - 1) * numbers_per_call
  return unpack(numbers, from, from + numbers_per_call - 1)
end

local function admit_all(plan, count)
  local all_tokens, all_cost = 0, 0
  for call = 1, count do
    local minted_at, tokens, cost, not_after = numbers_of(call)
    if not is_timely(plan, minted_at, not_after) or plan[3] >= 0 and tokens > plan[3] then return false end
    all_tokens, all_cost = all_tokens + tokens, all_cost + cost
  end
  if redis.call('EXISTS', unpack(KEYS, key_at, key_at + count - 1)) > 0 then return false end
  local left = take_at_once(plan, key_at + count - 1, count, all_tokens, all_cost)
  if not left then return false end

  -- From the last call to the first: what is left after one is less what all later ones took.
  local fields_at = 5 + plan[4] * 2
  local lease_ends = {}
  local later, later_tokens, later_cost = 0, 0, 0
  for call = count, 1, -1 do
    local _, tokens, cost, _, lease_ms = numbers_of(call)
    local taken = { now, tokens, cost, -1, unpack(left) }
    if later > 0 then
      for index = 1, plan[5] do
        local kind = plan[fields_at + index]:sub(1, 1)
        local taken_later = kind == 't' and later_tokens or kind == 'b' and later_cost or later
        if left[index] >= 0 then taken[4 + index] = left[index] + taken_later end
      end
    end
    later, later_tokens, later_cost = later + 1, later_tokens + tokens, later_cost + cost
    local body = ARGV[text_at + 1] .. ARGV[text_at + call * 2]
    redis.call('HSET', KEYS[key_at + call - 1], 'n', '1', 'c:', pack_call(tokens, cost, 0, taken, body))
    lease_ends[call * 2 - 1] = instant + lease_ms - (calls_left - call) / 4096
    lease_ends[call * 2] = ARGV[text_at + call * 2 + 1]
  end
  redis.call('ZADD', KEYS[1], unpack(lease_ends))
  return { now, unpack(left) }
end

local answer = {}
while numbers[number_at] do
  local count, plan = numbers[number_at], cjson.decode(ARGV[text_at])
  -- What stands in the counters of one may be nonsense, which is nothing to the others.
  local is_done, taken = pcall(admit_all, plan, count)
  answer[#answer + 1] = is_done and taken
  number_at, key_at = number_at + 1 + count * numbers_per_call, key_at + count + plan[4]
  text_at, calls_left = text_at + 2 + count * 2, calls_left - count
end
return answer
`,
  admit: `-- Decides all limits of a plan and takes from all of them, or from none, as lib/limits/decide.ts does. Stands after
-- admit-alone, which tells of KEYS, ARGV and the result, and after all that counts.

local slot_retry_ms = 1000
local valid_from, valid_until, _, scope_count, limit_count = unpack(plan, 1, 5)
local fields_at = 5 + scope_count * 2
local limits_at = fields_at + limit_count
local ends_at = limits_at + limit_count
local special = ARGV[5] and cjson.decode(ARGV[5]) or {}
local is_further = special.callId ~= nil
local call_field = is_further and 'c:' .. special.callId or 'c:'
-- The hold lives in another shard, which alone knows whether it is open.
local is_elsewhere = special.home ~= nil

local function repeated(value)
  local state = value:sub(1, 1)
  if state ~= 'o' and state ~= 'r' then return { 'hold_ended', jumps } end
  local asked_tokens, asked_cost, _, taken, kept = unpack_call(value)
  if asked_tokens ~= tokens or asked_cost ~= cost then return { 'id_conflict', jumps } end
  return { 'repeated', jumps, taken, kept }
end

local known = redis.call('HMGET', KEYS[1], 'n', call_field, 'c:')
if is_elsewhere then
  if known[1] == '0' then return { 'hold_ended', jumps } end
  if known[2] and not special.isProbe then redis.call('HSET', KEYS[1], 't:' .. call_field:sub(3), 1) end
  if known[2] then return repeated(known[2]) end
elseif is_further then
  if not known[1] or known[1] == '0' then return { 'hold_ended', jumps } end
  local ends = redis.call('ZSCORE', KEYS[2], hold_id)
  if ends and is_over(ends) then return { 'over', jumps } end
  if known[2] then return repeated(known[2]) end
elseif known[1] then
  return known[1] ~= '0' and known[2] and repeated(known[2]) or { 'hold_ended', jumps }
end
if now - minted_at > oldest_admission_ms then return { 'too_old', jumps } end

-- The call whose place is taken: its numbers, and the fields that it took by position of their scope.
local replaced
if special.replacesFirst and known[3] and known[3]:sub(1, 1) == 'o' then
  local _, _, _, taken, kept = unpack_call(known[3])
  replaced = { at = taken[1], tokens = taken[2], cost = taken[3], fields = {} }
  local positions, missing = {}, {}
  for position, name in ipairs(special.scopes) do positions[name] = position end
  for name, fields in each_take(cjson.decode(kept:match('^[^\\n]*'))) do
    if positions[name] then replaced.fields[positions[name]] = fields else missing[#missing + 1] = name end
  end
  if #missing > 0 and not is_elsewhere then return { 'missing', jumps, missing } end
end

-- Others have let the call in as one that takes the place of the first, or are to be told that it has.
if special.replacesFirst and not is_elsewhere and not replaced and not special.isProbe then
  return { 'not_first', jumps }
end

local scopes, scope_of = {}, {}
local at = fields_at
for position = 1, scope_count do
  local count = plan[5 + position * 2]
  local scope = load_scope(position, KEYS[position + 2], unpack(plan, at + 1, at + count))
  scopes[position] = scope
  for index = at - fields_at + 1, at - fields_at + count do scope_of[index] = scope end
  at = at + count
end

-- Whether the scope is in another shard, and only a copy of its fence is here.
local function is_copy(scope) return scope.key:match('^[^}]*}:(%a):') == 'f' end

local unseeded = {}
for position = 1, scope_count do
  local scope, revision = scopes[position], plan[4 + position * 2]
  if not scope.known or scope.revision < revision and is_copy(scope) then
    if revision > 0 then unseeded[#unseeded + 1] = position end
  elseif scope.closed or scope.revision > revision then
    return { 'stale', jumps, position, scope.revision }
  end
end
if #unseeded > 0 then return { 'unseeded', jumps, unseeded } end
-- Elsewhere it is the clock of the home that decides, which is asked last: two that differ would never both agree to a plan
-- at the end of a period.
if not is_elsewhere and not_after >= 0 and now >= not_after then return { 'expired', jumps } end
if not is_elsewhere and (now < valid_from or now >= valid_until) then return { 'stale_clock', jumps, now } end

local function is_taken(scope, field)
  for _, taken in ipairs(replaced.fields[scope.position] or {}) do
    if taken == field then return true end
  end
  return false
end

-- By position of the limits, as all lists are from here on.
local kinds, counters, ends, remaining, credits, is_counted = {}, {}, {}, {}, {}, {}
local next_end = ends_at
for index = 1, limit_count do
  local scope, field, limit = scope_of[index], plan[fields_at + index], plan[limits_at + index]
  local kind, counter, used, credit = field:sub(1, 1), nil, 0, 0
  if replaced and is_taken(scope, field) then is_counted[index] = true end
  if kind == 'b' then
    counter = find_budget(scope, field)
    used = counter and counter.spent + counter.held or 0
    if is_counted[index] and scope.known then credit = replaced.cost end
    next_end = next_end + 1
    ends[index] = plan[next_end]
  elseif kind == 'o' then
    used = slots_of(scope)
  else
    counter = window_of(scope, field)
    used = counter.total
    if is_counted[index] and kind == 't' then
      credit = returnable(scope, field, counter, replaced.at, replaced.tokens)
    end
  end
  kinds[index], counters[index], credits[index] = kind, counter, credit
  remaining[index] = limit < 0 and math.huge or limit - used + credit
end

local output, clamp = -1, special.clamp
if clamp then
  output = clamp.max
  if max_tokens >= 0 then output = math.min(output, max_tokens - clamp.inputTokens) end
  for index, kind in ipairs(kinds) do
    if kind == 't' then output = math.min(output, remaining[index] - clamp.inputTokens) end
    if kind == 'b' and clamp.picoUsd > 0 then
      output = math.min(output, math.floor((remaining[index] - clamp.inputCost) * 1000 / clamp.picoUsd))
    end
  end
  if output < clamp.min then output = math.min(clamp.min, clamp.max) end
  tokens = clamp.inputTokens + output
  cost = clamp.inputCost + math.ceil(output * clamp.picoUsd / 1000)
end

local function amount_of(index)
  local kind = kinds[index]
  if kind == 'q' then return is_counted[index] and 0 or 1 end
  if kind == 't' then return tokens end
  if kind == 'o' then return is_further and 0 or 1 end
  return cost
end

local refusing = {}
for index = 1, limit_count do
  local limit, amount, kind = plan[limits_at + index], amount_of(index), kinds[index]
  local counts_nothing = amount == 0 and (kind == 'q' or kind == 'o')
  if limit >= 0 and not counts_nothing and (limit == 0 or amount > remaining[index]) then
    refusing[#refusing + 1] = index
  end
end

local function shown(list)
  for index, value in ipairs(list) do list[index] = value == math.huge and -1 or math.max(0, value) end
  return list
end

local is_too_large = max_tokens >= 0 and tokens > max_tokens
if is_too_large or #refusing > 0 then
  local function wait(index)
    local limit, amount, kind = plan[limits_at + index], amount_of(index), kinds[index]
    if limit == 0 or amount > limit then return -1 end
    if kind == 'o' then return slot_retry_ms end
    if kind == 'b' then return ends[index] < 0 and -1 or math.max(0, ends[index] - now) end
    return wait_for_room(scope_of[index], plan[fields_at + index], counters[index], amount - credits[index], limit)
  end

  local by, retry_ms
  if is_too_large then by, retry_ms = 0, -1 end
  for _, index in ipairs(refusing) do
    local wait_ms = wait(index)
    -- The longest wait is the truth for the whole request; the first of equals names it.
    if by == nil or retry_ms >= 0 and (wait_ms < 0 or wait_ms > retry_ms) then by, retry_ms = index, wait_ms end
  end

  for _, scope in ipairs(scopes) do save_scope(scope) end
  local in_the_way = redis.call('ZCOUNT', KEYS[2], '-inf', over_until()) > 0
  return { 'refused', jumps, by, retry_ms, shown(remaining), in_the_way and 1 or 0 }
end
if special.isProbe then return { 'fits', jumps, shown(remaining), output } end

-- Elsewhere the first call stays until the home has let this one take its place: it could not be brought back.
if replaced and not is_elsewhere then
  local correction = { at = replaced.at, counted = replaced.tokens, tokens = 0, held = replaced.cost, spent = 0 }
  for position, fields in pairs(replaced.fields) do
    scopes[position] = scopes[position] or load_scope(position, KEYS[position + 2], unpack(fields))
    for _, field in ipairs(scopes[position].known and fields or {}) do correct(scopes[position], field, correction) end
  end
end

local taken = { now, tokens, cost, output }
for index = 1, limit_count do
  local scope, field, kind, left = scope_of[index], plan[fields_at + index], kinds[index], remaining[index]
  if scope.known then
    local amount = amount_of(index)
    left = left - amount
    if kind == 'b' then
      local budget = budget_of(scope, field, ends[index])
      budget.held = budget.held + amount
      write_budget(scope, budget)
    elseif kind == 'o' then
      if amount ~= 0 then take_slots(scope, amount) end
    else
      take_from_window(scope, field, counters[index], amount)
    end
  end
  taken[4 + index] = left == math.huge and -1 or math.max(0, left)
end
for position, scope in pairs(scopes) do
  if scope.known and position <= scope_count and scope.revision < plan[4 + position * 2] then
    write(scope, 'v', plan[4 + position * 2])
  end
  save_scope(scope)
end

if is_elsewhere then
  local value = pack_call(numbers[3], numbers[4], replaced and 1 or 0, taken, body)
  redis.call('HSET', KEYS[1], 'n', 1, 'h', special.home, call_field, value)
  if special.slots then redis.call('HSET', KEYS[1], 's', cjson.encode(special.slots)) end
  redis.call('ZADD', KEYS[2], 'NX', instant + lease_ms, hold_id)
elseif is_further then
  -- A hash keeps no order: calls know which of them came first.
  local order = redis.call('HLEN', KEYS[1])
  if replaced then redis.call('HSET', KEYS[1], 'c:', 'r' .. known[3]:sub(2)) end
  redis.call('HSET', KEYS[1], 'n', known[1] + 1, call_field, pack_call(numbers[3], numbers[4], order, taken, body))
else
  open_hold(taken)
end
if special.others then name_others(special.others) end
return { 'admitted', jumps, taken }
`,
  'append-audit': `-- Adds an audit row that belongs to no change of a record, once for its id.
--
-- KEYS[1] remembers for a day that it was added (hash)   KEYS[2..7] as in record-change.lua; the audit's alone are written
-- Result: 1

if redis.call('HSETNX', KEYS[1], 'atMs', integer(now)) == 1 then
  redis.call('PEXPIRE', KEYS[1], 86400000)
  write_audit(redis.call('INCR', KEYS[2]))
end
return 1
`,
  balances: `-- Reads the counters of one scope, by the present.
--
-- KEYS[1] the scope (hash)
-- Result: nothing if it is unknown, else jumps, revision, open holds, windows: field, used; budgets: field, spent, held

local names = redis.call('HKEYS', KEYS[1])
local scope = load_scope(1, KEYS[1], 'o')
if not scope.known then return false end
local windows, budgets = {}, {}
for _, field in ipairs(names) do
  local kind = field:sub(1, 2)
  if kind == 'q:' or kind == 't:' then
    windows[#windows + 1] = { field, window_of(scope, field).total }
  elseif kind == 'b:' then
    local budget = budget_at(scope, field)
    if not budget.moved then budgets[#budgets + 1] = { field, budget.spent, budget.held } end
  end
end
save_scope(scope)
return { jumps, scope.revision, slots_of(scope), windows, budgets }
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
  'copy-fence': `-- Keeps a copy of the fence of a scope in a shard where others count under it: for as long as calls may be judged by an
-- older record.
--
-- KEYS[1] the copy (hash)   ARGV[1] revision   ARGV[2] for how many ms

if tonumber(redis.call('HGET', KEYS[1], 'v') or 0) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'v', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
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
  due: `-- Finds holds whose lease is over, the oldest first.
--
-- KEYS[1] leases of a shard   numbers: limit
-- Result: for each, id, end of its lease

local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', over_until(), 'WITHSCORES', 'LIMIT', 0, numbers[2])
local due = {}
for index = 1, #found, 2 do due[#due + 1] = { found[index], found[index + 1] } end
return due
`,
  'end-at-once': `-- Most ends: of the only call of a hold, which is open and took in one shard, and whose counters are there. One pass ends
-- it. Whatever is else changes nothing here, and is ended by end-call, which tells of KEYS and ARGV. Stands after
-- ledger-windows and ledger-usage, before what end-call needs besides.

local ended_ms = 3600000
local _, at, input, output, cache_read, cache_write, used_cost = unpack(numbers)
local is_settlement = ARGV[10] ~= nil
local usage_keys = { stream = KEYS[3], days = KEYS[4], sums = KEYS[5], days_of_key = KEYS[6] }

local function append_settlement(event)
  local sums = { 1, input, output, cache_read, cache_write, used_cost, 0 }
  append_line(usage_keys, { event = event, member = ARGV[11], field = ARGV[12], other = ARGV[13], sums = sums })
end

-- Remembers that the hold has ended.
local function end_hold(call_field)
  redis.call('HSET', KEYS[1], 'n', 0, call_field, 'e', 'c:', 'e')
  redis.call('PEXPIRE', KEYS[1], ended_ms)
  redis.call('ZREM', KEYS[2], ARGV[4])
end

-- Answers how each budget stands, or nothing.
local function end_at_once()
  local known = redis.call('HMGET', KEYS[1], 'n', 'c:', 'p')
  local call = known[2]
  if known[1] ~= '1' or not call or call:sub(1, 1) ~= 'o' or known[3] then return nil end
  local taken_at, counted, held = struct.unpack('<ddd', call, 34)
  local more = (is_settlement and input + output or 0) - counted
  local takes, spent_now, changes = cjson.decode(ARGV[6]), {}, {}
  local index, position = 1, 7
  while takes[index] do
    local key, last = KEYS[position], index + 1 + takes[index + 1]
    local values = redis.call('HMGET', key, 'v', unpack(takes, index + 2, last))
    if not values[1] then return nil end
    local change = { 'HSET', key }
    for field_at = index + 2, last do
      local field, value, earlier = takes[field_at], values[field_at - index], nil
      local kind = field:sub(1, 1)
      if kind == 'o' then
        value = (tonumber(value) or 0) - 1
      elseif kind == 'q' or kind == 't' and more == 0 then
        value = nil
      elseif not value then
        return nil
      elseif kind == 'b' then
        if #value > 24 then return nil end
        local spent, held_now, ends = struct.unpack('<ddd', value)
        spent = spent + (used_cost or 0)
        spent_now[#spent_now + 1] = spent
        value = struct.pack('<ddd', spent, held_now - held, ends)
      else
        local cell_ms, cell, total, current = struct.unpack('<dddd', value)
        local is_jump
        cell, total, current, earlier, is_jump = rolled(key, field, cell_ms, cell, total, current)
        if is_jump then return nil end
        local change_of_cell = more
        if more < 0 then
          local taken_in = math.floor(taken_at / cell_ms)
          if taken_in == cell then
            change_of_cell = -math.min(-more, current)
            current = current + change_of_cell
          else
            earlier = earlier or redis.call('HGET', key, 'r:' .. field) or ''
            local given
            given, earlier = given_back(earlier, cell, taken_in, -more)
            change_of_cell = -given
          end
        else
          current = current + more
        end
        value = struct.pack('<dddd', cell_ms, cell, total + change_of_cell, current)
      end
      if value then change[#change + 1], change[#change + 2] = field, value end
      if earlier then change[#change + 1], change[#change + 2] = 'r:' .. field, earlier end
    end
    if #change > 2 then changes[#changes + 1] = change end
    index, position = last + 1, position + 1
  end
  if is_settlement then append_settlement(ARGV[10]) end
  end_hold('c:')
  for _, change in ipairs(changes) do redis.call(unpack(change)) end
  return spent_now
end

if ARGV[5] == '' and ARGV[7] == '' and ARGV[8] == '' then
  local spent_now = end_at_once()
  if spent_now then return spent_now end
end
`,
  'end-call': `-- Ends one call by a settlement or a cancellation, exactly once. The hold ends with the last of its calls. Stands after
-- end-at-once, which ends most of them.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   KEYS[3] stream of usage   KEYS[4] days of all keys
-- KEYS[5] sums of the day   KEYS[6] days of the key       KEYS[7..] the scopes of takes, then further ones
-- numbers: when it was taken; of a settlement input, output, cache read, cache write, cost
-- ARGV[2], ARGV[3] as in ledger-usage.lua   ARGV[4] id of the hold   ARGV[5] id of the call
-- ARGV[6] takes of the call, as JSON
-- ARGV[7] nothing, or as JSON what a call needs that is not simply open: scopes, names of the further ones; abandoned, its
--   line as it was written when the lease ended; lost, the event of a settlement whose hold is unknown
-- ARGV[8] nothing, or the other shards from which the call took, each before a space   ARGV[9] takes in all of them
-- ARGV[10..] of a settlement: event, member, field and other of its line
-- Result: of a call that was ended at once, how each budget stands that it took from, in the order of takes. Else state
--   (overtaken: it was cancelled before it was let in), jumps of the clock, charged budgets: position of the scope, field,
--   spent, the other shards of the hold and whether it has ended; or missing, jumps, scopes to declare: ARGV[7] is needed

local hold_id, call_field = ARGV[4], 'c:' .. ARGV[5]
local special = ARGV[7] ~= '' and cjson.decode(ARGV[7])
local others = ARGV[8]

local known = redis.call('HMGET', KEYS[1], 'n', call_field, 'l')
local open_calls, value = tonumber(known[1]) or 0, known[2]
local state = value and value:sub(1, 1)
local is_open = open_calls > 0
local closes_hold = open_calls == 1 and (state == 'o' or state == 'r')

local is_lost = is_settlement and (not value or state == 'u') and (is_open or not known[1] or known[3])

-- By position, as KEYS has the scopes: what the call took, and which of them the hold took a slot of.
local fields_of, positions, slots, missing = {}, {}, {}, {}
local takes = cjson.decode(ARGV[6])
for name, fields in each_take(takes) do
  fields_of[#fields_of + 1] = fields
  positions[name] = #fields_of
end
for _, name in ipairs(special and special.scopes or {}) do
  fields_of[#fields_of + 1] = {}
  positions[name] = #fields_of
end
if closes_hold then
  local is_first = call_field == 'c:'
  local of_first = is_first and takes or cjson.decode(first_takes(redis.call('HGET', KEYS[1], 'c:')))
  for name, fields in each_take(of_first) do
    if has_slot(fields) then
      local list = positions[name] and slots or missing
      list[#list + 1] = positions[name] or name
    end
  end
end
if #missing > 0 or (is_lost or state == 'a') and not special then return { 'missing', jumps, missing } end

local scopes = {}
local function scope_at(position)
  scopes[position] = scopes[position] or load_scope(position, KEYS[position + 6], unpack(fields_of[position]))
  return scopes[position]
end

local function correct_all(correction)
  local charged = {}
  for position, fields in ipairs(fields_of) do
    local scope = #fields > 0 and scope_at(position)
    for _, field in ipairs(scope and scope.known and fields or {}) do
      local budget = correct(scope, field, correction)
      if budget and correction.spent ~= 0 then charged[#charged + 1] = { position, budget.field, budget.spent } end
    end
  end
  return charged
end

local function close_call()
  if closes_hold then
    for _, position in ipairs(slots) do
      if scope_at(position).known then take_slots(scope_at(position), -1) end
    end
    end_hold(call_field)
  else
    -- The slots of the hold are told by its first call.
    local kept = call_field == 'c:' and 'e' .. first_takes(value) or 'e'
    redis.call('HSET', KEYS[1], 'n', open_calls - 1, call_field, kept)
  end
end

local function answer(outcome, charged)
  local ends = { cancelled = 'c', overtaken = 'u' }
  for _, scope in pairs(scopes) do save_scope(scope) end
  charged = charged or {}
  local is_new = outcome ~= 'already'
  if is_new and others ~= '' then
    local used_tokens = is_settlement and input + output or 0
    leave_to_others(others, ARGV[5], ends[outcome] or 's', used_tokens, used_cost or 0, ARGV[9])
  end
  local named = (is_new or closes_hold) and redis.call('HGET', KEYS[1], 'p')
  if not named then return { outcome, jumps, charged, '', 0 } end
  local has_ended = open_calls == 0 or closes_hold
  if has_ended then await_others(hold_id) end
  return { outcome, jumps, charged, named, has_ended and 1 or 0 }
end

if is_open and state == 'o' then
  -- Whoever has not heard what was granted ends it by what was asked for.
  local _, _, _, taken = unpack_call(value)
  local correction = { at = taken[1], counted = taken[2], tokens = 0, held = taken[3], spent = 0 }
  if is_settlement then correction.tokens, correction.spent = input + output, used_cost end
  local charged = correct_all(correction)
  if is_settlement then append_settlement(ARGV[10]) end
  close_call()
  return answer(is_settlement and 'settled' or 'cancelled', charged)
end

if is_open and value and not is_lost then
  -- Whoever ends a call that was replaced gives its slot back, too.
  if state == 'r' then close_call() end
  return answer(state == 'r' and not is_settlement and 'cancelled' or 'already')
end

if state == 'a' then
  local was_charged = struct.unpack('<d', value, 2)
  local correction = { at = at, counted = 0, tokens = 0, held = 0, spent = -was_charged }
  if is_settlement then correction.tokens, correction.spent = input + output, used_cost - was_charged end
  local charged = correct_all(correction)
  count_line(usage_keys, special.abandoned, { -1, 0, 0, 0, 0, -was_charged, 0 })
  if is_settlement then append_settlement(ARGV[10]) else append_line(usage_keys, special.abandoned) end
  redis.call('HSET', KEYS[1], call_field, 'e')
  return answer(is_settlement and 'late' or 'cancelled', charged)
end

if is_lost then
  local correction = { at = at, counted = 0, tokens = input + output, held = 0, spent = used_cost }
  local charged = correct_all(correction)
  append_settlement(special.lost)
  redis.call('HSET', KEYS[1], call_field, 'e')
  if not is_open then
    redis.call('HSET', KEYS[1], 'n', 0, 'l', 1)
    redis.call('PEXPIRE', KEYS[1], ended_ms)
  end
  return answer('lost_hold', charged)
end

if is_settlement or known[1] and not is_open then return answer('already') end
-- A cancellation may overtake the admission that it cancels.
redis.call('HSET', KEYS[1], call_field, 'e')
if not is_open then
  redis.call('HSET', KEYS[1], 'n', 0)
  redis.call('PEXPIRE', KEYS[1], ended_ms)
end
return answer('overtaken')
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
-- ARGV[2] the change, as JSON: revision, carries {field, ends, from, opening}, isNew, isClosed, nonce (a seed: only of an
--   unknown scope whose nonce it is), retentionMs
-- Result: fenced, already, unknown

local change = cjson.decode(ARGV[2])
local scope = load_scope(1, KEYS[1])
-- A call judged by a change may have brought the revision of it, or of a later one, and carries nothing over.
local carried_revision = tonumber(redis.call('HGET', KEYS[1], 'f')) or scope.revision
local is_overtaken = scope.revision > carried_revision
if change.nonce then
  if scope.known then return 'already' end
  if redis.call('GET', KEYS[2]) ~= change.nonce then return 'unknown' end
elseif scope.known then
  if carried_revision >= change.revision and not (change.isClosed and not scope.closed) then return 'already' end
elseif not change.isNew and not change.isClosed then
  -- What is yet to be seeded with an earlier nonce was read before this change.
  redis.call('DEL', KEYS[2])
  return 'unknown'
end

local function move_budget(source, target)
  if source == target then return end
  target.held = target.held + source.held
  source.held, source.spent, source.moved = 0, 0, target.field
  write_budget(scope, source)
end

local function carry_budget(carry)
  local source = carry.from and find_budget(scope, carry.from)
  local target = budget_at(scope, carry.field) or add_budget(scope, carry.field, carry.ends)
  local stand = latest(scope, target)
  target.ends = carry.ends
  if source ~= target then
    target.moved = false
    local carried = math.max(source and source.spent or 0, carry.opening)
    target.spent = is_overtaken and target.spent + carried or math.max(target.spent, carried)
    move_budget(stand, target)
    if source then move_budget(source, target) end
    if carry.from then
      local start, id = start_of(carry.field), id_of(carry.from)
      for _, budget in ipairs(all_budgets(scope)) do
        local reaches = budget.ends < 0 or budget.ends > start
        -- That of a later change waits for the fence of its own.
        local is_over = budget.ends >= 0 and budget.ends <= now
        if reaches and (is_over or not is_overtaken) and id_of(budget.field) == id and not budget.moved then move_budget(budget, target) end
      end
    end
  end
  write_budget(scope, target)
end

local revision = math.max(scope.revision, change.revision)
for _, carry in ipairs(change.carries) do carry_budget(carry) end
prune_budgets(scope)
write(scope, 'f', math.max(carried_revision, change.revision))
write(scope, 'v', (scope.closed or change.isClosed) and -revision or revision)
save_scope(scope)
redis.call('DEL', KEYS[2])
-- Late settlements still count while their holds may be remembered.
if change.isClosed then redis.call('PEXPIRE', KEYS[1], change.retentionMs) end
return 'fenced'
`,
  follow: `-- Has what a hold took in this shard follow what became of it at home. Whatever has followed already changes nothing.
--
-- KEYS[1] the part (hash)   KEYS[2] leases of this shard (sorted set)   KEYS[3..] scopes
-- ARGV[2] id of the hold
-- ARGV[3] what became of it, as JSON: home, its shard; scopes, their names; calls {id, became, tokens, cost,
--   takes {position, field}}; hasEnded, or leaseEnds, when to look again
--   became: settled, abandoned: tokens and cost are charged; cancelled, replaced: nothing is; undone: it was never let in;
--   withdrawn: whoever asked for it takes it back, unless somebody else has asked, too
-- Result: followed, jumps, charged budgets by call: position of the scope, field, spent; missing, jumps, names of scopes
--   to declare; untold, jumps: the hold has ended, and calls are open here of which nothing is told

-- Longer than at home: what is told twice is to find that it was told.
local ended_ms, abandoned_ms = 7200000, 90000000
local hold_id, told = ARGV[2], cjson.decode(ARGV[3])

local positions, scopes = {}, {}
for position, name in ipairs(told.scopes) do positions[name] = position end
local function scope_at(position)
  scopes[position] = scopes[position] or load_scope(position, KEYS[position + 2])
  return scopes[position]
end

local undoes_first, is_told = false, {}
for _, call in ipairs(told.calls) do
  if call.became == 'withdrawn' then
    call.became = redis.call('HEXISTS', KEYS[1], 't:' .. call.id) == 1 and 'open' or 'undone'
  end
  is_told['c:' .. call.id] = true
  undoes_first = undoes_first or call.became == 'undone' and call.id == ''
end
local slots, missing = {}, {}
if told.hasEnded or undoes_first then
  local held = redis.call('HGET', KEYS[1], 's')
  for _, name in ipairs(held and cjson.decode(held) or {}) do
    local list = positions[name] and slots or missing
    list[#list + 1] = positions[name] or name
  end
end
if #missing > 0 then return { 'missing', jumps, missing } end

local known = redis.call('HGETALL', KEYS[1])
for index = 1, told.hasEnded and #known or 0, 2 do
  if known[index]:sub(1, 2) == 'c:' and known[index + 1]:sub(1, 1) == 'o' and not is_told[known[index]] then
    return { 'untold', jumps }
  end
end

-- What was counted of the call until now, or nothing if it has followed.
local function counted_of(value, state, became)
  if became == 'open' then return nil end
  if state == 'o' then
    local _, _, replaces, taken = unpack_call(value)
    return { at = taken[1], counted = taken[2], tokens = 0, held = taken[3], spent = 0, replaces = replaces == 1 }
  end
  local counted = { at = 0, counted = 0, tokens = 0, held = 0, spent = 0 }
  if state == 'a' and became ~= 'abandoned' then
    counted.spent = -struct.unpack('<d', value, 2)
    return counted
  end
  -- The part was lost, or never came to be: all the same the call was charged.
  if not state and (became == 'settled' or became == 'abandoned') then return counted end
end

-- What the first call took here, as JSON; '': that is not known.
local function takes_of_first(value)
  if not value then return '' end
  return value:sub(1, 1) == 'a' and value:sub(10) or first_takes(value)
end

-- The windows in which the first call counts a request, by name of their scope and field, also after its end. What was to
-- take its place has counted none there.
local function windows_of_first()
  local takes, windows = takes_of_first(redis.call('HGET', KEYS[1], 'c:')), {}
  if takes == '' then return windows end
  for name, fields in each_take(cjson.decode(takes)) do
    for _, field in ipairs(fields) do windows[name .. '\\n' .. field] = true end
  end
  return windows
end

local function correct_takes(call, correction)
  local charged = {}
  local is_undone = call.became == 'undone'
  local not_counted = is_undone and correction.replaces and windows_of_first() or {}
  for _, taken in ipairs(call.takes) do
    local scope, field = scope_at(taken.position), taken.field
    local is_request = field:sub(1, 1) == 'q' and not not_counted[told.scopes[taken.position] .. '\\n' .. field]
    if scope.known and is_undone and is_request then
      give_back(scope, field, window_of(scope, field), correction.at, 1)
    end
    local budget = scope.known and correct(scope, field, correction)
    if budget and correction.spent ~= 0 then charged[#charged + 1] = { taken.position, budget.field, budget.spent } end
  end
  return charged
end

local function keep_call(field, call, value, state)
  local became = call.became
  local takes = field == 'c:' and takes_of_first(value) or ''
  if became == 'undone' then redis.call('HDEL', KEYS[1], field, 't:' .. call.id)
  elseif became == 'abandoned' then redis.call('HSET', KEYS[1], field, 'a' .. struct.pack('<d', call.cost) .. takes)
  elseif became == 'replaced' and state == 'o' then redis.call('HSET', KEYS[1], field, 'r' .. value:sub(2))
  else redis.call('HSET', KEYS[1], field, 'e' .. takes) end
end

local charged = {}
for index, call in ipairs(told.calls) do
  local field, became = 'c:' .. call.id, call.became
  local value = redis.call('HGET', KEYS[1], field)
  local state = value and value:sub(1, 1)
  local correction = counted_of(value, state, became)
  charged[index] = {}
  if correction then
    if became == 'settled' or became == 'abandoned' then
      correction.tokens, correction.spent = call.tokens, correction.spent + call.cost
    end
    charged[index] = correct_takes(call, correction)
  end
  if correction or became == 'cancelled' and state ~= 'e' then keep_call(field, call, value, state) end
end

for _, position in ipairs(slots) do
  if scope_at(position).known then take_slots(scope_at(position), -1) end
end
for _, scope in pairs(scopes) do save_scope(scope) end

local has_calls, has_abandoned = false, false
local kept = redis.call('HGETALL', KEYS[1])
for index = 1, #kept, 2 do
  local is_call = kept[index]:sub(1, 2) == 'c:'
  has_calls = has_calls or is_call
  has_abandoned = has_abandoned or is_call and kept[index + 1]:sub(1, 1) == 'a'
end
if told.hasEnded then
  redis.call('HSET', KEYS[1], 'n', 0)
  redis.call('HDEL', KEYS[1], 's')
  redis.call('PEXPIRE', KEYS[1], has_abandoned and abandoned_ms or ended_ms)
  redis.call('ZREM', KEYS[2], hold_id)
elseif not has_calls then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], hold_id)
else
  if undoes_first then redis.call('HDEL', KEYS[1], 's') end
  if told.leaseEnds then redis.call('ZADD', KEYS[2], 'XX', told.leaseEnds, hold_id) end
  -- Where the part was lost nothing else looks for what is kept of it now.
  if redis.call('HSETNX', KEYS[1], 'n', 1) == 1 then
    redis.call('HSET', KEYS[1], 'h', told.home)
    redis.call('ZADD', KEYS[2], instant + followed_after_ms, hold_id)
  end
end
return { 'followed', jumps, charged }
`,
  'forget-others': `-- Forgets how calls ended, since all other shards have followed; a hold that has ended is not looked for any more.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)
-- ARGV[1] id of the hold    ARGV[2..] of each call: id, and how it stood when they were told (s, c, a, u)

local ended_ms, abandoned_ms = 3600000, 86400000
for index = 2, #ARGV, 2 do
  local field = 'd:' .. ARGV[index]
  local left = redis.call('HGET', KEYS[1], field)
  if left and left:sub(1, 1) == ARGV[index + 1] then redis.call('HDEL', KEYS[1], field) end
end
if redis.call('HGET', KEYS[1], 'n') ~= '0' then return end
local has_abandoned = false
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local kind = fields[index]:sub(1, 2)
  if kind == 'd:' then return end
  has_abandoned = has_abandoned or kind == 'c:' and fields[index + 1]:sub(1, 1) == 'a'
end
redis.call('HDEL', KEYS[1], 'p')
redis.call('PEXPIRE', KEYS[1], has_abandoned and abandoned_ms or ended_ms)
redis.call('ZREM', KEYS[2], ARGV[1])
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
  'ledger-corrections': `-- Replaces what calls took by what they consumed, as lib/limits/counters.ts does. Stands after ledger-periods.

-- How much of an amount taken at this moment still counts; then, where its cell is an earlier one, these without it.
local function returnable(scope, field, window, taken_at, amount)
  local cell = math.floor(taken_at / window.cell_ms)
  if cell == window.cell then return math.min(amount, window.current) end
  if cell > window.cell or window.cell - cell > cells_per_window then return 0 end
  return given_back(finished_of(scope, field, window), window.cell, cell, amount)
end

local function give_back(scope, field, window, taken_at, amount)
  local given, finished = returnable(scope, field, window, taken_at, amount)
  if given == 0 then return end
  window.total = window.total - given
  if finished then window.finished = finished else window.current = window.current - given end
  write_window(scope, field, window)
end

-- A counter that was lost or forgotten. One of a period that has been followed by another serves nobody any more.
local function reopen(scope, field)
  local id, start = id_of(field), start_of(field)
  for _, other in ipairs(all_budgets(scope)) do
    if id_of(other.field) == id and start_of(other.field) > start then return nil end
  end
  return add_budget(scope, field, -1)
end

-- Replaces what a call took from one counter; answers the budget that it changed.
-- correction: at, when it was taken; counted, the tokens until now; tokens from now on; held, taken off; spent, added
local function correct(scope, field, correction)
  local kind = field:sub(1, 1)
  if kind == 't' then
    local window = window_of(scope, field)
    local more = correction.tokens - correction.counted
    if more > 0 then take_from_window(scope, field, window, more)
    elseif more < 0 then give_back(scope, field, window, correction.at, -more) end
  elseif kind == 'b' then
    local budget = find_budget(scope, field) or reopen(scope, field)
    if not budget then return nil end
    budget.held = budget.held - correction.held
    budget.spent = math.max(0, budget.spent + correction.spent)
    write_budget(scope, budget)
    return budget
  end
end
`,
  'ledger-holds': `-- How holds are kept. Stands before the acts that read them.
--
-- A hold is a hash. n: its open calls. l: it was lost, and is remembered for what was charged since.
-- c:<call>: a call, by the letter that it begins with
--   o: open; r: another call took its place. Then, packed: tokens and cost that were asked for, how many fields the hold
--      had before it, numbers: at, tokens, cost, output, remaining; then its body: in the first line takes, as JSON
--   a: abandoned; then, packed, what it was charged
--   e: ended; then, of a first call, its takes while others are open

local function unpack_call(value)
  local tokens, cost, order, count, from = struct.unpack('<dddd', value, 2)
  local taken = { struct.unpack('<' .. ('d'):rep(count), value, from) }
  return tokens, cost, order, taken, value:sub(table.remove(taken))
end

-- Takes are a list: of each scope its name, the number of fields, the fields.
local function each_take(takes)
  local at = 1
  return function()
    local name, count = takes[at], takes[at + 1]
    if not name then return nil end
    at = at + 2 + count
    return name, { unpack(takes, at - count, at - 1) }
  end
end

local function has_slot(fields)
  for _, field in ipairs(fields) do
    if field == 'o' then return true end
  end
  return false
end

-- The takes of the first call of a hold that is open, as they are kept.
local function first_takes(value)
  if value:sub(1, 1) == 'e' then return value:sub(2) end
  local _, _, _, _, body = unpack_call(value)
  return body:match('^[^\\n]*')
end
`,
  'ledger-leases': `-- When leases are over. Stands after ledger-time.
--
-- Leases are a sorted set of holds by their ends.

local function is_over(lease_ends) return tonumber(lease_ends) < now + 1 end

-- The latest score of a lease that is over.
local function over_until() return '(' .. string.format('%.0f', now + 1) end
`,
  'ledger-parts': `-- What holds take in shards other than their home. Stands before the acts that read it.
--
-- A hold lives in its home. What it takes elsewhere is kept there in a hash of the same kind, whose calls follow what
-- becomes of them at home (follow.lua). n is 1 until the hold has ended, then 0. What a call has of its order is 1 if it
-- was let in to take the place of the first one, else 0. Besides there are
--   h: the shard of its home   s: names of the scopes of which it took a slot, as JSON
--   t:<call>: of a call that was asked for more than once: none of those who asked takes it back
-- and in its home
--   p: the shards where it has taken, each before a space
--   d:<call>: of a call that ended, until all of them have followed: s (settled), c (cancelled), a (abandoned) or u (it
--     was never let in); then, packed, tokens and cost that were charged; then its takes in all shards, as JSON
--
-- Of the first call a part keeps the takes after its end, too: behind the e, or behind what an abandoned one was charged.

-- When those that ended a call and are to tell the others are taken for dead.
local followed_after_ms = 10000

local function name_others(others)
  local named = redis.call('HGET', KEYS[1], 'p') or ''
  for shard in others:gmatch('%d+ ') do
    if not (' ' .. named):find(' ' .. shard, 1, true) then named = named .. shard end
  end
  redis.call('HSET', KEYS[1], 'p', named)
end

-- Leaves what the others are to follow, should nobody tell them.
local function leave_to_others(others, call, how, tokens, cost, takes)
  name_others(others)
  redis.call('HSET', KEYS[1], 'd:' .. call, how .. struct.pack('<dd', tokens, cost) .. takes)
end

-- A hold that has ended is looked for until the others have followed.
local function await_others(hold_id)
  redis.call('PERSIST', KEYS[1])
  redis.call('ZADD', KEYS[2], instant + followed_after_ms, hold_id)
end
`,
  'ledger-periods': `-- Budgets as their periods come and go, as lib/limits/counters.ts has them. Stands after ledger-scopes.

local period_retention_ms = 86400000

local function start_of(field) return tonumber(field:match('^b:(%-?%d+):')) end
local function id_of(field) return field:match('^b:%-?%d+:(.*)$') end

local function all_budgets(scope)
  local budgets = {}
  for _, field in ipairs(redis.call('HKEYS', scope.key)) do
    if field:sub(1, 2) == 'b:' then position_of(scope, field) end
  end
  for _, field in ipairs(scope.fields) do
    if field:sub(1, 2) == 'b:' then budgets[#budgets + 1] = budget_at(scope, field) end
  end
  return budgets
end

local function add_budget(scope, field, ends)
  local budget = { field = field, spent = 0, held = 0, ends = ends, moved = false }
  scope.values[position_of(scope, field)] = budget
  if scope.deleted then scope.deleted[field] = nil end
  return budget
end

-- Forgets budgets whose period ended more than a day ago, and under which nothing is held.
local function prune_budgets(scope)
  local kept, forgotten, is_forgotten = {}, {}, {}
  for _, budget in ipairs(all_budgets(scope)) do
    local is_kept = budget.ends < 0 or budget.ends + period_retention_ms > now or latest(scope, budget).held > 0
    local list = is_kept and kept or forgotten
    list[#list + 1] = budget
    if not is_kept then is_forgotten[budget] = true end
  end
  if #forgotten == 0 then return end
  for _, budget in ipairs(kept) do
    if budget.moved then
      local stand = latest(scope, budget)
      budget.moved = not is_forgotten[stand] and stand.field
      write_budget(scope, budget)
    end
  end
  scope.deleted = scope.deleted or {}
  for _, budget in ipairs(forgotten) do
    scope.values[position_of(scope, budget.field)] = false
    scope.deleted[budget.field] = true
  end
end

-- The counter of a budget in a period, made where there is none. Whoever asks changes and writes it.
local function budget_of(scope, field, ends)
  local budget = find_budget(scope, field)
  if not budget then
    prune_budgets(scope)
    budget = add_budget(scope, field, ends)
  end
  if budget.field == field or start_of(budget.field) == start_of(field) then budget.ends = ends end
  return budget
end
`,
  'ledger-scopes': `-- The counters of scopes, as lib/limits/window.ts and counters.ts have them. Stands after ledger-windows.
--
-- A scope is a hash. v: the revision of its record, negative once the record is gone. f: that of the latest fence, whose
-- budgets were carried over. o: its open holds.
-- q:<ms>:<id> and t:<ms>:<id>: a window of requests or of tokens, packed: length of a cell in ms, newest cell, total,
--   count of the newest cell.
-- r:<field of a window>: its earlier cells that counted, oldest first, packed: cell, count.
-- b:<start>:<id>: a budget in a period, packed: spent, held, end (-1: none); then the field that took it over, if any.
--
-- What is read is a table from here on. Each change of it is written at once, and sent by save_scope.

-- Reads the fields that an act is known to need; position_of reads what else it comes upon.
local function load_scope(position, key, ...)
  local values = redis.call('HMGET', key, 'v', ...)
  local revision = tonumber(values[1])
  return {
    position = position,
    key = key,
    known = revision ~= nil,
    closed = revision ~= nil and revision < 0,
    revision = revision and math.abs(revision) or 0,
    fields = { ... },
    -- One more than fields: texts as they are stored, then counters in their place.
    values = values,
    writes = {},
  }
end

local function position_of(scope, field)
  local fields = scope.fields
  for index = 1, #fields do
    if fields[index] == field then return index + 1 end
  end
  local position = #fields + 2
  fields[position - 1], scope.values[position] = field, redis.call('HGET', scope.key, field)
  return position
end

local function write(scope, field, value)
  local writes = scope.writes
  local count = #writes
  writes[count + 1], writes[count + 2] = field, value
end

local function write_window(scope, field, window)
  write(scope, field, struct.pack('<dddd', window.cell_ms, window.cell, window.total, window.current))
  if window.finished then write(scope, 'r:' .. field, window.finished) end
end

local function write_budget(scope, budget)
  write(scope, budget.field, struct.pack('<ddd', budget.spent, budget.held, budget.ends) .. (budget.moved or ''))
end

local function save_scope(scope)
  if #scope.writes > 0 then redis.call('HSET', scope.key, unpack(scope.writes)) end
  for field in pairs(scope.deleted or {}) do redis.call('HDEL', scope.key, field) end
end

local function finished_of(scope, field, window)
  if not window.finished then window.finished = redis.call('HGET', scope.key, 'r:' .. field) or '' end
  return window.finished
end

-- The window at a position of the scope's values, brought up to the present.
local function open_window(scope, field, position)
  local packed = scope.values[position]
  local window
  if packed then
    local cell_ms, cell, total, current = struct.unpack('<dddd', packed)
    window = { cell_ms = cell_ms, cell = cell, total = total, current = current }
    local is_jump
    window.cell, window.total, window.current, window.finished, is_jump =
      rolled(scope.key, field, cell_ms, cell, total, current)
    if is_jump then
      write_window(scope, field, window)
      jumps[#jumps + 1] = { scope.position, field }
    end
  else
    local cell_ms = field:match('^%a:(%d+)') / cells_per_window
    window = { cell_ms = cell_ms, cell = math.floor(now / cell_ms), total = 0, current = 0, finished = '' }
  end
  scope.values[position] = window
  return window
end

local function window_of(scope, field)
  local position = position_of(scope, field)
  local window = scope.values[position]
  return type(window) == 'table' and window or open_window(scope, field, position)
end

-- Milliseconds until the amount fits if nothing is given back; -1: never.
local function wait_for_room(scope, field, window, amount, limit)
  if amount > limit then return -1 end
  local excess = window.total + amount - limit
  if excess <= 0 then return 0 end
  local finished = finished_of(scope, field, window)
  for from = 1, #finished, 16 do
    local at, count = struct.unpack('<dd', finished, from)
    excess = excess - count
    if excess <= 0 then return (at + cells_per_window + 1) * window.cell_ms - now end
  end
  if excess - window.current > 0 then return -1 end
  return (window.cell + cells_per_window + 1) * window.cell_ms - now
end

local function take_from_window(scope, field, window, amount)
  window.current, window.total = window.current + amount, window.total + amount
  write_window(scope, field, window)
end

local function slots_of(scope) return tonumber(scope.values[position_of(scope, 'o')]) or 0 end

local function take_slots(scope, count)
  local position = position_of(scope, 'o')
  scope.values[position] = (tonumber(scope.values[position]) or 0) + count
  write(scope, 'o', scope.values[position])
end

-- The budget at a position of the scope's values, or nil.
local function open_budget(scope, field, position)
  local packed = scope.values[position]
  if not packed then return nil end
  local spent, held, ends = struct.unpack('<ddd', packed)
  local budget = { field = field, spent = spent, held = held, ends = ends, moved = #packed > 24 and packed:sub(25) }
  scope.values[position] = budget
  return budget
end

local function budget_at(scope, field)
  local position = position_of(scope, field)
  local budget = scope.values[position]
  return type(budget) == 'table' and budget or open_budget(scope, field, position)
end

local function latest(scope, budget)
  while budget.moved do budget = budget_at(scope, budget.moved) end
  return budget
end

local function find_budget(scope, field)
  local budget = budget_at(scope, field)
  return budget and latest(scope, budget)
end
`,
  'ledger-time': `-- The numbers of an act of the ledger, and its time. Stands before the acts.
--
-- ARGV[1] the numbers of the act, as JSON. The first one is the time in ms; 0: that of Redis.

local numbers = cjson.decode(ARGV[1])

-- With a fraction, so that what comes in one millisecond has its order.
local instant = numbers[1]
if instant == 0 then
  local time = redis.call('TIME')
  instant = time[1] * 1000 + time[2] / 1000
end
local now = math.floor(instant)

-- Steps of the clock that were noticed: position of a scope, field of a window.
local jumps = {}
`,
  'ledger-usage': `-- The usage record: lines in a stream, and sums by the hour. Stands before the acts that write it.
--
-- ARGV[2] the most lines that are kept   ARGV[3] for how many ms sums are kept
-- A line: event (JSON); member, of the days of all keys: its day and key; field, of the sums of its day; other, the field
--   that takes what is too much for one day; sums: requests, input, output, cache read, cache write, cost, adjusted
-- keys: stream, days of all keys, sums of the day, days of the key

local max_sums_per_day = 1000
local max_lines, retention_ms = ARGV[2], ARGV[3]

local function count_line(keys, line, sums)
  local field, is_new = line.field, false
  local packed = redis.call('HGET', keys.sums, field)
  if not packed then
    local count = redis.call('HLEN', keys.sums)
    is_new = count == 0
    -- Beyond so many sums of one key and day, all further models are one.
    if count >= max_sums_per_day then
      field = line.other
      packed = redis.call('HGET', keys.sums, field)
    end
  end
  if packed then
    local earlier = { struct.unpack('<ddddddd', packed) }
    for index = 1, 7 do earlier[index] = earlier[index] + sums[index] end
    sums = earlier
  end
  redis.call('HSET', keys.sums, field, struct.pack('<ddddddd', unpack(sums, 1, 7)))
  if not is_new then return end
  local day = line.member:match('^%d+')
  redis.call('PEXPIRE', keys.sums, retention_ms)
  redis.call('ZADD', keys.days, day, line.member)
  redis.call('ZREMRANGEBYSCORE', keys.days, '-inf', math.floor((now - retention_ms) / 86400000) - 1)
  redis.call('SADD', keys.days_of_key, day)
  redis.call('PEXPIRE', keys.days_of_key, retention_ms)
end

local function append_line(keys, line)
  redis.call('XADD', keys.stream, 'MAXLEN', '~', max_lines, '*', 'e', line.event)
  count_line(keys, line, line.sums)
end
`,
  'ledger-windows': `-- Windows as they move on, as lib/limits/window.ts has them. Stands after ledger-time.

local cells_per_window = 60

-- A window brought up to the present: newest cell, total, count of that cell; then, where they have changed, the earlier
-- cells as they are packed, and whether the clock has stepped back.
local function rolled(key, field, cell_ms, cell, total, current)
  local present = math.floor(now / cell_ms)
  local ahead = present - cell
  if ahead <= 0 and ahead >= -cells_per_window then return cell, total, current end
  if ahead > cells_per_window or total == 0 then return present, 0, 0, '' end
  if ahead < 0 then return present, total, total, '', true end
  local earlier = redis.call('HGET', key, 'r:' .. field) or ''
  if current ~= 0 then earlier = earlier .. struct.pack('<dd', cell, current) end
  local from = 1
  while from <= #earlier do
    local at, count = struct.unpack('<dd', earlier, from)
    if at >= present - cells_per_window then break end
    total = total - count
    from = from + 16
  end
  -- Redis hashes every byte of a text that Lua makes.
  return present, total, 0, from == 1 and earlier or earlier:sub(from)
end

-- Takes back what one of the earlier cells of a window still counts of an amount: how much, and the cells without it.
local function given_back(earlier, newest, cell, amount)
  -- It stands no further from the end than cells have passed since.
  for from = math.max(1, #earlier - 15 - 16 * (newest - 1 - cell)), #earlier, 16 do
    local at, count = struct.unpack('<dd', earlier, from)
    if at == cell then
      local given = math.min(amount, count)
      return given, earlier:sub(1, from - 1) .. struct.pack('<dd', at, count - given) .. earlier:sub(from + 16)
    end
    if at > cell then break end
  end
  return 0, earlier
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
  'raise-fence': `-- Raises the fence of a scope to the revision by which a call is judged elsewhere, and tells where it stands then.
--
-- KEYS[1] the scope (hash)   ARGV[1] revision
-- Result: revision; nothing if the scope is unknown

local known = tonumber(redis.call('HGET', KEYS[1], 'v'))
if not known then return false end
local revision = tonumber(ARGV[1])
-- Of a record that is gone it is negative, and is above all others.
if known >= 0 and known < revision then
  redis.call('HSET', KEYS[1], 'v', ARGV[1])
  return revision
end
return math.abs(known)
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
  'read-hold': `-- Reads a hold, or what one took in this shard.
--
-- KEYS[1] the hold (hash)
-- Result: now, shard of its home ('': here), its other shards, whether it has ended, takes of its first call (JSON); then for each open call, the
--   first one first: id, numbers, body

local found, takes, home, others, has_ended = {}, '[]', '', '', 0
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local field, value = fields[index], fields[index + 1]
  if field == 'h' then home = value end
  if field == 'p' then others = value end
  if field == 'n' and value == '0' then has_ended = 1 end
  local state = value:sub(1, 1)
  if field == 'c:' and #value > 1 and (state == 'o' or state == 'r' or state == 'e') then takes = first_takes(value) end
  if field:sub(1, 2) == 'c:' and state == 'o' then
    local _, _, order, taken, body = unpack_call(value)
    found[#found + 1] = { field:sub(3), taken, body, order }
  end
end
table.sort(found, function(a, b) return a[4] < b[4] end)
return { now, home, others, has_ended, takes, found }
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
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   numbers: lease in ms   ARGV[2] id of the hold
-- Result: renewed, ended; over: its lease has run out and it is yet to be ended

local ends = redis.call('ZSCORE', KEYS[2], ARGV[2])
-- One that has ended may wait there for other shards to follow.
if not ends or redis.call('HGET', KEYS[1], 'n') == '0' then return 'ended' end
if is_over(ends) then return 'over' end
redis.call('ZADD', KEYS[2], instant + numbers[2], ARGV[2])
return 'renewed'
`,
  'stand-at-home': `-- Tells other shards what became of a hold. A call that its home does not know is never let in from now on.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)
-- ARGV[2] id of the hold   ARGV[3..] ids of calls that others have, and that cannot come later than now
-- Result: whether it is open, end of its lease ('': none), whether that is over, calls: id, how it stands
--   (o, r, s, c, a; u: never let in), tokens and cost that were charged, takes (JSON; '': not kept)

local ended_ms = 3600000
for index = 3, #ARGV do
  -- Should it be settled all the same, it was lost, and is charged then.
  if redis.call('HSETNX', KEYS[1], 'c:' .. ARGV[index], 'u') == 1 and redis.call('HSETNX', KEYS[1], 'n', 0) == 1 then
    redis.call('HSET', KEYS[1], 'l', 1)
    redis.call('PEXPIRE', KEYS[1], ended_ms)
  end
end

local values, calls = {}, {}
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do values[fields[index]] = fields[index + 1] end
for field, value in pairs(values) do
  if field:sub(1, 2) == 'c:' then
    local call, stands = field:sub(3), value:sub(1, 1)
    local left = values['d:' .. call]
    if left then
      local tokens, cost = struct.unpack('<dd', left, 2)
      calls[#calls + 1] = { call, left:sub(1, 1), tokens, cost, left:sub(18) }
    else
      local charged = stands == 'a' and struct.unpack('<d', value, 2) or 0
      calls[#calls + 1] = { call, stands == 'e' and 'c' or stands, 0, charged, '' }
    end
  end
end
local ends = redis.call('ZSCORE', KEYS[2], ARGV[2])
local is_open = (tonumber(values.n) or 0) > 0
return { is_open and 1 or 0, ends or '', ends and is_over(ends) and 1 or 0, calls }
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
