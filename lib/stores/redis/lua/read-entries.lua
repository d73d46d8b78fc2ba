-- Reads the next entries of a list, newest first, with what a filter has to know of each.
--
-- KEYS[1] entries (sorted set)  KEYS[2] texts by entry (hash)
-- ARGV[1] the entry to begin after, or '+'  ARGV[2] how many
--
-- Result: { entries, texts }

local from = ARGV[1] == '+' and '+' or '(' .. ARGV[1]
local entries = redis.call('ZREVRANGEBYLEX', KEYS[1], from, '-', 'LIMIT', 0, ARGV[2])
local texts = {}
for position, entry in ipairs(entries) do texts[position] = redis.call('HGET', KEYS[2], entry) or '' end
return { entries, texts }
