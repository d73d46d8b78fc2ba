-- Reads the open calls of a hold.
--
-- KEYS[1] the hold (hash)
-- Result: scopes of its slots (JSON), then for each open call, the first one first: id, at, tokens, cost, body

local found = {}
local slots = '[]'
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local field, value = fields[index], fields[index + 1]
  if field == 's' then slots = value end
  if field:sub(1, 2) == 'c:' and value:sub(1, 1) == 'o' then
    local at, _, _, tokens, cost, _, order, count, from = struct.unpack('<dddddddd', value, 2)
    found[#found + 1] = { field:sub(3), at, tokens, cost, value:sub(from + count * 8), order }
  end
end
table.sort(found, function(a, b) return a[6] < b[6] end)
return { slots, found }
