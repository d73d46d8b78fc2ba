-- Has what a hold took in this shard follow what became of it at home. Whatever has followed already changes nothing.
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
    for _, field in ipairs(fields) do windows[name .. '\n' .. field] = true end
  end
  return windows
end

local function correct_takes(call, correction)
  local charged = {}
  local is_undone = call.became == 'undone'
  local not_counted = is_undone and correction.replaces and windows_of_first() or {}
  for _, taken in ipairs(call.takes) do
    local scope, field = scope_at(taken.position), taken.field
    local is_request = field:sub(1, 1) == 'q' and not not_counted[told.scopes[taken.position] .. '\n' .. field]
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
