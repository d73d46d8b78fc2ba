-- Ends one call by a settlement or a cancellation, exactly once. The hold ends with the last of its calls. Stands after
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
