-- Forgets how calls ended, since all other shards have followed; a hold that has ended is not looked for any more.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)
-- ARGV[1] id of the hold    ARGV[2..] of each call: id, and how it stood when they were told (s, c, a, u)

local ended_ms, abandoned_ms = 3600000, 86400000
for index = 2, #ARGV, 2 do
  local field = 'd:' .. ARGV[index]
  local left = redis.call('HGET', KEYS[1], field)
  if left and left:sub(1, 1) == ARGV[index + 1] then redis.call('HDEL', KEYS[1], field) end
end
if redis.call('HGET', KEYS[1], 'n') ~= '0' then return end
local has_abandoned = false
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local kind = fields[index]:sub(1, 2)
  if kind == 'd:' then return end
  has_abandoned = has_abandoned or kind == 'c:' and fields[index + 1]:sub(1, 1) == 'a'
end
redis.call('HDEL', KEYS[1], 'p')
redis.call('PEXPIRE', KEYS[1], has_abandoned and abandoned_ms or ended_ms)
redis.call('ZREM', KEYS[2], ARGV[1])
