-- Reads sums of usage.
--
-- KEYS sums of a key and a day (hashes)
-- Result: for each, field, requests, input, output, cache read, cache write, cost, adjusted

local answer = {}
for position, key in ipairs(KEYS) do
  local rows = {}
  local fields = redis.call('HGETALL', key)
  for index = 1, #fields, 2 do
    local sums = { struct.unpack('<ddddddd', fields[index + 1]) }
    rows[#rows + 1] = { fields[index], unpack(sums, 1, 7) }
  end
  answer[position] = rows
end
return answer
