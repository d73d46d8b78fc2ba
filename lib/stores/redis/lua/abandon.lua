-- Ends a hold whose lease is over: slot and tokens go back, each open call is charged as it was to be.
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
