-- Moves the last use of a key forward.
--
-- KEYS[1] the record (hash)   ARGV[1] when it was used, in ms
-- Result: 1 if it moved

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if (tonumber(redis.call('HGET', KEYS[1], 'lastUsedAtMs') or '') or 0) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'lastUsedAtMs', ARGV[1])
return 1
