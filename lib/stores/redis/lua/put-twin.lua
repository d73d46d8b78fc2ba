-- Stores a twin: inserts version 1, or replaces the version before. A row that was edited into nonsense is as good as none.
--
-- KEYS[1] rows (hash of version, state and details by key id)  KEYS[2] key ids by the number of their state (sorted set)
-- ARGV[1] key id  ARGV[2] version  ARGV[3] state  ARGV[4] number of the state  ARGV[5] details
--
-- Result: 1 if it was stored

local row = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local version = tonumber(string.match(row, '^(%d+) %a+ ') or 0)
if version ~= tonumber(ARGV[2]) - 1 then return 0 end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[5])
return 1
