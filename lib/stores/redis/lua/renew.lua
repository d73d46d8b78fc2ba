-- Renews the lease of a hold.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard   numbers: lease in ms   ARGV[2] id of the hold
-- Result: renewed, ended; over: its lease has run out and it is yet to be ended

local ends = redis.call('ZSCORE', KEYS[2], ARGV[2])
-- One that has ended may wait there for other shards to follow.
if not ends or redis.call('HGET', KEYS[1], 'n') == '0' then return 'ended' end
if is_over(ends) then return 'over' end
redis.call('ZADD', KEYS[2], instant + numbers[2], ARGV[2])
return 'renewed'
