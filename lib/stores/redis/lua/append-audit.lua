-- Adds an audit row that belongs to no change of a record, once for its id.
--
-- KEYS[1] remembers for a day that it was added (hash)   KEYS[2..7] as in record-change.lua; the audit's alone are written
-- Result: 1

if redis.call('HSETNX', KEYS[1], 'atMs', integer(now)) == 1 then
  redis.call('PEXPIRE', KEYS[1], 86400000)
  write_audit(redis.call('INCR', KEYS[2]))
end
return 1
