-- Reads a hold, or what one took in this shard.
--
-- KEYS[1] the hold (hash)
-- Result: now, shard of its home ('': here), its other shards, whether it has ended, takes of its first call (JSON); then for each open call, the
--   first one first: id, numbers, body

local found, takes, home, others, has_ended = {}, '[]', '', '', 0
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local field, value = fields[index], fields[index + 1]
  if field == 'h' then home = value end
  if field == 'p' then others = value end
  if field == 'n' and value == '0' then has_ended = 1 end
  local state = value:sub(1, 1)
  if field == 'c:' and #value > 1 and (state == 'o' or state == 'r' or state == 'e') then takes = first_takes(value) end
  if field:sub(1, 2) == 'c:' and state == 'o' then
    local _, _, order, taken, body = unpack_call(value)
    found[#found + 1] = { field:sub(3), taken, body, order }
  end
end
table.sort(found, function(a, b) return a[4] < b[4] end)
return { now, home, others, has_ended, takes, found }
