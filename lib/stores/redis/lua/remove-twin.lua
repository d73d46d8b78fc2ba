-- Removes a twin of this version.
--
-- KEYS[1] rows (hash of version, state and details by key id)  KEYS[2] key ids by the number of their state (sorted set)
-- ARGV[1] key id  ARGV[2] version
--
-- Result: 1 if it was removed

local row = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if string.match(row, '^(%d+) %a+ ') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
