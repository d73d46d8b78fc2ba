-- Writes rows that belong to no change.
--
-- KEYS[1] order (sorted set)  KEYS[2] rows (hash)
-- ARGV[1] a time in ms that replaces the clock, or ''  ARGV[2] after how many ms they are due
-- ARGV[3..] key id, row id, key id, row id, …
--
-- Result: 1

local rows = outbox(KEYS[1], KEYS[2])
local now = present(tonumber(ARGV[1]))
local due = now + tonumber(ARGV[2])

for position = 3, #ARGV, 2 do
  local row = rows.load(ARGV[position]) or { key_id = ARGV[position], revision = 0 }
  row.id, row.at, row.attempts = ARGV[position + 1], now, 0
  row.due = math.min(row.due or due, due)
  rows.save(row)
end
return 1
