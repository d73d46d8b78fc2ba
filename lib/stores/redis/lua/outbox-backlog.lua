-- Counts the rows that may be claimed, are claimed, and come due later.
--
-- KEYS[1] order (sorted set)  KEYS[2] claimed key ids by the end of the lease (sorted set)
-- ARGV[1] a time in ms that replaces the clock, or ''
--
-- Result: the three numbers

local now = integer(present(tonumber(ARGV[1])))
local due = redis.call('ZCOUNT', KEYS[1], '-inf', now)
local claimed = redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf')
return { due, claimed, math.max(0, redis.call('ZCARD', KEYS[1]) - due - claimed) }
