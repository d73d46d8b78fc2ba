-- Finds holds whose lease is over, the oldest of each shard first.
--
-- KEYS leases   numbers: limit
-- Result: for each, position of its leases, id, end of its lease

local due = {}
for position, key in ipairs(KEYS) do
  local found = redis.call('ZRANGEBYSCORE', key, '-inf', over_until(), 'WITHSCORES', 'LIMIT', 0, numbers[2])
  for index = 1, #found, 2 do due[#due + 1] = { position - 1, found[index], found[index + 1] } end
end
return due
