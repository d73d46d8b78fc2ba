-- Ends the lease of a row, which is due again later: when its worker says, or when it was asked for since.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)  KEYS[3] claimed key ids by the end of the lease (sorted set)
-- ARGV[1] a time in ms that replaces the clock, or ''  ARGV[2] key id  ARGV[3] row id  ARGV[4] lease  ARGV[5] delay in ms
--
-- Result: 1 if the lease was theirs

local rows = outbox(KEYS[1], KEYS[2])
local row = rows.load(ARGV[2])
if not row or row.lease ~= ARGV[4] then return 0 end

redis.call('ZREM', KEYS[3], row.key_id)
if row.id == ARGV[3] then row.due = present(tonumber(ARGV[1])) + tonumber(ARGV[5]) end
row.lease, row.lease_ends = nil, nil
rows.save(row)
return 1
