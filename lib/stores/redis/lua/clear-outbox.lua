-- Removes rows of the outbox that were not written anew since they were read.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)  ARGV key id, row id, key id, row id, …
-- Result: how many were removed

local removed = 0
for position = 1, #ARGV, 2 do
  local row = redis.call('HGET', KEYS[2], ARGV[position])
  local start = ARGV[position + 1] .. ' '
  if row and string.sub(row, 1, #start) == start then
    redis.call('ZREM', KEYS[1], ARGV[position])
    redis.call('HDEL', KEYS[2], ARGV[position])
    removed = removed + 1
  end
end
return removed
