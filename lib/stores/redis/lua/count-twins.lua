-- Counts twins by their state.
--
-- KEYS[1] key ids by the number of their state (sorted set)  ARGV[1] how many states there are
-- Result: a number for each state, from 0

local counts = {}
for state = 0, tonumber(ARGV[1]) - 1 do counts[state + 1] = redis.call('ZCOUNT', KEYS[1], state, state) end
return counts
