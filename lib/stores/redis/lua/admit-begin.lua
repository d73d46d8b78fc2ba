-- What an admission asks for, and what is known of its hold. Stands before admit-at-once and admit.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)   KEYS[3..] the scopes of the plan, in its order,
-- then further ones of ARGV[5].scopes (hashes); then further leases where a hold may stand that is in the way
-- numbers: minted at, tokens, cost, not after (-1: no end), lease in ms
-- ARGV[2] the plan, as JSON: valid from, valid until, the most tokens of a request (-1: any), number of scopes, of
--   limits; of each scope: revision, number of its limits; then the fields of all limits, then their amounts (-1: none),
--   then the ends of those that are budgets (-1: none)
-- ARGV[3] what is kept of the call beside its numbers: in the first line takes, in the next what no script reads
-- ARGV[4] id of the hold
-- ARGV[5] of all but a simple first call, as JSON: clamp; callId, replacesFirst; scopes: names of the scopes in KEYS
-- Result: outcome, jumps of the clock, then by outcome
--   admitted: numbers of the call: at, tokens, cost, output tokens (-1: no clamp), remaining of each limit (-1: none)
--   repeated: the same, body
--   refused: position (-1: the request alone is too large), retry in ms (-1: never), remaining, whether leases are over
--   stale: position of the scope, revision    unseeded: positions    stale_clock: now    missing: scopes to declare
--   over: the lease of the hold is over       expired, id_conflict, hold_ended, too_old

local oldest_admission_ms = 300000
local _, minted_at, tokens, cost, not_after, lease_ms = unpack(numbers)
local plan, body, hold_id = cjson.decode(ARGV[2]), ARGV[3], ARGV[4]
local special = ARGV[5] and cjson.decode(ARGV[5]) or {}
local is_further = special.callId ~= nil
local call_field = is_further and 'c:' .. special.callId or 'c:'

local function repeated(value)
  local state = value:sub(1, 1)
  if state ~= 'o' and state ~= 'r' then return { 'hold_ended', jumps } end
  local asked_tokens, asked_cost, _, taken, kept = unpack_call(value)
  if asked_tokens ~= tokens or asked_cost ~= cost then return { 'id_conflict', jumps } end
  return { 'repeated', jumps, taken, kept }
end

local known = redis.call('HMGET', KEYS[1], 'n', call_field, 'c:')
if is_further then
  if not known[1] or known[1] == '0' then return { 'hold_ended', jumps } end
  local ends = redis.call('ZSCORE', KEYS[2], hold_id)
  if ends and is_over(ends) then return { 'over', jumps } end
  if known[2] then return repeated(known[2]) end
elseif known[1] then
  return known[1] ~= '0' and known[2] and repeated(known[2]) or { 'hold_ended', jumps }
end
if now - minted_at > oldest_admission_ms then return { 'too_old', jumps } end

local valid_from, valid_until, max_tokens, scope_count, limit_count = unpack(plan, 1, 5)
local fields_at = 5 + scope_count * 2
local limits_at = fields_at + limit_count
local ends_at = limits_at + limit_count

-- Keeps the call that was admitted: its numbers are what it took, and what was left then.
local function admitted(taken, replaced)
  -- A hash keeps no order: calls know which of them came first.
  local order = is_further and redis.call('HLEN', KEYS[1]) or 0
  local value = pack_call(numbers[3], numbers[4], order, taken, body)
  if is_further then
    if replaced then redis.call('HSET', KEYS[1], 'c:', 'r' .. known[3]:sub(2)) end
    redis.call('HSET', KEYS[1], 'n', known[1] + 1, call_field, value)
  else
    redis.call('HSET', KEYS[1], 'n', 1, call_field, value)
    start_lease(KEYS[2], hold_id, lease_ms)
  end
  return { 'admitted', jumps, taken }
end
