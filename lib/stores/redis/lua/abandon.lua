-- Ends a hold whose lease is over: slot and tokens go back, each open call is charged as it was to be.
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
