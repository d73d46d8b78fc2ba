-- Claims rows that are due and that nobody has. What was edited into nonsense is dropped where it comes up.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)  KEYS[3] claimed key ids by the end of the lease (sorted set)
-- ARGV[1] a time in ms that replaces the clock, or ''  ARGV[2] the most rows  ARGV[3] the lease in ms
-- ARGV[4] what the ids of the leases begin with  ARGV[5..] only of these key ids; none: of any
--
-- Result: for each row, key id, its text, '1' where the lease before ended by time

local rows = outbox(KEYS[1], KEYS[2])
local now = present(tonumber(ARGV[1]))
local limit, lease_ends = tonumber(ARGV[2]), now + tonumber(ARGV[3])

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', integer(now))
local key_ids = {}
for position = 5, #ARGV do key_ids[#key_ids + 1] = ARGV[position] end
if #ARGV < 5 then key_ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', integer(now), 'LIMIT', 0, limit) end

local found = {}
for _, key_id in ipairs(key_ids) do
  local row = rows.load(key_id)
  if not row then
    rows.remove(key_id)
  elseif rows.claimable_from(row) <= now then
    found[#found + 1] = row
  elseif #ARGV < 5 then
    -- Somebody moved it in the order: it goes back to its place.
    rows.save(row)
  end
end
table.sort(found, function(a, b) return rows.claimable_from(a) < rows.claimable_from(b) end)

local claimed = {}
for position = 1, math.min(limit, #found) do
  local row = found[position]
  claimed[position] = { row.key_id, '', row.lease and '1' or '' }
  row.lease, row.lease_ends = ARGV[4] .. position, lease_ends
  row.attempts, row.due = row.attempts + 1, nil
  redis.call('ZADD', KEYS[3], integer(lease_ends), row.key_id)
  rows.save(row)
  claimed[position][2] = rows.text_of(row)
end
return claimed
