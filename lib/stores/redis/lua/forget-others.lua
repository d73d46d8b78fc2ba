-- Forgets how calls ended, since all other shards have followed; a hold that has ended is not looked for any more.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)
-- ARGV[1] id of the hold    ARGV[2..] of each call: id, and how it stood when they were told (s, c, a)

local remembered_ms = 86400000
for index = 2, #ARGV, 2 do
  local field = 'd:' .. ARGV[index]
  local left = redis.call('HGET', KEYS[1], field)
  if left and left:sub(1, 1) == ARGV[index + 1] then redis.call('HDEL', KEYS[1], field) end
end
if redis.call('HGET', KEYS[1], 'n') ~= '0' then return end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, 2) == 'd:' then return end
end
redis.call('HDEL', KEYS[1], 'p')
redis.call('PEXPIRE', KEYS[1], remembered_ms)
redis.call('ZREM', KEYS[2], ARGV[1])
