-- Finds holds whose lease is over, the oldest first.
--
-- KEYS[1] leases of a shard   numbers: limit
-- Result: for each, id, end of its lease

local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', over_until(), 'WITHSCORES', 'LIMIT', 0, numbers[2])
local due = {}
for index = 1, #found, 2 do due[#due + 1] = { found[index], found[index + 1] } end
return due
