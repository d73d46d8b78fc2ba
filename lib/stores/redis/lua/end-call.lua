-- Ends one call by a settlement or a cancellation, exactly once. The hold ends with the last of its calls.
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
