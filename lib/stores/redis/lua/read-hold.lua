-- Reads the open calls of a hold.
--
-- KEYS[1] the hold (hash)
-- Result: takes of its first call (JSON), then for each open call, the first one first: id, numbers, body

local found, takes = {}, '[]'
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local field, value = fields[index], fields[index + 1]
  if field == 'c:' then takes = first_takes(value) end
  if field:sub(1, 2) == 'c:' and value:sub(1, 1) == 'o' then
    local _, _, order, taken, body = unpack_call(value)
    found[#found + 1] = { field:sub(3), taken, body, order }
  end
end
table.sort(found, function(a, b) return a[4] < b[4] end)
return { takes, found }
