-- Removes rows that were not written anew since they were read, and ends the leases under which they were read.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)  KEYS[3] claimed key ids by the end of the lease (sorted set)
-- ARGV key id, row id, lease or '', key id, row id, lease or '', …
--
-- Result: how many were removed

local rows = outbox(KEYS[1], KEYS[2])
local removed = 0
for position = 1, #ARGV, 3 do
  local key_id, id, lease = ARGV[position], ARGV[position + 1], ARGV[position + 2]
  local row = rows.load(key_id)
  local is_same = row and row.id == id
  if row and (lease == '' and is_same or row.lease == lease) then
    redis.call('ZREM', KEYS[3], key_id)
    if is_same then
      rows.remove(key_id)
      removed = removed + 1
    else
      row.lease, row.lease_ends = nil, nil
      rows.save(row)
    end
  end
end
return removed
