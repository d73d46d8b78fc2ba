-- Keeps an alert, unless one of its id is there. The oldest go where there are too many.
--
-- KEYS[1] entry by alert id (hash)  KEYS[2] entries (sorted set)  KEYS[3] rows by entry (hash)
-- ARGV[1] id  ARGV[2] row  ARGV[3] the most rows  ARGV[4] a time in ms that replaces the clock, or ''
--
-- Result: the time in ms, or '' where the alert exists

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return '' end
redis.call('ZCARD', KEYS[2])
redis.call('HLEN', KEYS[3])

local now = present(tonumber(ARGV[4]))
local entry = string.format('%016.0f', now) .. ARGV[1]
redis.call('HSET', KEYS[1], ARGV[1], entry)
redis.call('ZADD', KEYS[2], 0, entry)
redis.call('HSET', KEYS[3], entry, ARGV[2])
for _ = 1, math.min(2, redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])) do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  redis.call('HDEL', KEYS[3], oldest)
  redis.call('HDEL', KEYS[1], string.sub(oldest, 17))
end
return integer(now)
