-- Decides all limits of a plan and takes from all of them, or from none, as lib/limits/decide.ts does.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)   KEYS[3..] act.scopeIds, in their order (hashes);
-- then further leases where a hold may stand that is in the way
-- act: holdId, callId, scopeIds, mintedAtMs, tokens, costNanoUsd, clamp, notAfterMs, leaseMs, replacesFirst
-- ARGV[2] the plan, as JSON: revisions, limits, slots, maxTokens, validFromMs, validUntilMs
-- ARGV[3] what is kept of the call beside its numbers; of it only `takes` is read here
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
