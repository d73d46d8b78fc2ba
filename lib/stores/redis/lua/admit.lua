-- Decides all limits of a plan and takes from all of them, or from none, as lib/limits/decide.ts does. Stands after
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
  for name, fields in each_take(cjson.decode(kept:match('^[^\n]*'))) do
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
