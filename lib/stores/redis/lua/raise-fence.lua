-- Raises the fence of a scope to the revision by which a call is judged elsewhere, and tells where it stands then.
--
-- KEYS[1] the scope (hash)   ARGV[1] revision
-- Result: revision; nothing if the scope is unknown

local known = tonumber(redis.call('HGET', KEYS[1], 'v'))
if not known then return false end
local revision = tonumber(ARGV[1])
-- Of a record that is gone it is negative, and is above all others.
if known >= 0 and known < revision then
  redis.call('HSET', KEYS[1], 'v', ARGV[1])
  return revision
end
return math.abs(known)
