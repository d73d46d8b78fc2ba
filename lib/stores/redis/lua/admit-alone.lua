-- Admits a call at once, if it is one that can be. Stands after admit-at-once; what follows it decides about the others.
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
