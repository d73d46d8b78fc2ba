-- Keeps a copy of the fence of a scope in a shard where others count under it: for as long as calls may be judged by an
-- older record.
--
-- KEYS[1] the copy (hash)   ARGV[1] revision   ARGV[2] for how many ms

if tonumber(redis.call('HGET', KEYS[1], 'v') or 0) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'v', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
