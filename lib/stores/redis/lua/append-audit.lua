-- Adds an audit row that belongs to no change of a record.
--
-- KEYS[1..7] as in record-change.lua; of these the rows alone are written
-- Result: 1

write_audit(redis.call('INCR', KEYS[2]))
return 1
