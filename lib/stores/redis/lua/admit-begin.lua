-- What an admission asks for, and how it is kept. Stands before admit-at-once and admit.
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
-- Result: the numbers of a call that was admitted at once, as below. Else outcome, jumps of the clock, then by outcome
--   admitted: numbers of the call: at, tokens, cost, output tokens (-1: no clamp), remaining of each limit (-1: none)
--   repeated: the same, body
--   refused: position (-1: the request alone is too large), retry in ms (-1: never), remaining, whether leases are over
--   stale: position of the scope, revision    unseeded: positions    stale_clock: now    missing: scopes to declare
--   over: the lease of the hold is over       expired, id_conflict, hold_ended, too_old

local oldest_admission_ms = 300000
local _, minted_at, tokens, cost, not_after, lease_ms = unpack(numbers)
local plan, body, hold_id = cjson.decode(ARGV[2]), ARGV[3], ARGV[4]
local valid_from, valid_until, max_tokens, scope_count, limit_count = unpack(plan, 1, 5)
local fields_at = 5 + scope_count * 2
local limits_at = fields_at + limit_count
local ends_at = limits_at + limit_count

-- The call as holds keep it. order: how many fields the hold had before; taken: its numbers
local function pack_call(order, taken)
  local count = #taken
  local header = struct.pack('<dddd' .. ('d'):rep(count), numbers[3], numbers[4], order, count, unpack(taken))
  return 'o' .. header .. body
end

-- Opens the hold with its first call.
local function open_hold(taken)
  redis.call('HSET', KEYS[1], 'n', 1, 'c:', pack_call(0, taken))
  redis.call('ZADD', KEYS[2], instant + lease_ms, hold_id)
end
