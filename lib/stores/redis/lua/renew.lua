-- Renews the lease of a hold.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   act: holdId, leaseMs
-- Result: renewed, ended; over: its lease has run out and it is yet to be ended

local ends = redis.call('ZSCORE', KEYS[2], act.holdId)
if not ends then return 'ended' end
if is_over(ends) then return 'over' end
start_lease(KEYS[2], act.holdId, act.leaseMs)
return 'renewed'
