-- How holds are kept. Stands before the acts that read them.
--
-- A hold is a hash. n: its open calls. l: it was lost, and is remembered for what was charged since.
-- c:<call>: a call, by the letter that it begins with
--   o: open; r: another call took its place. Then, packed: tokens and cost that were asked for, how many fields the hold
--      had before it, numbers: at, tokens, cost, output, remaining; then its body: in the first line takes, as JSON
--   a: abandoned; then, packed, what it was charged
--   e: ended; then, of a first call, its takes while others are open

local function unpack_call(value)
  local tokens, cost, order, count, from = struct.unpack('<dddd', value, 2)
  local taken = { struct.unpack('<' .. ('d'):rep(count), value, from) }
  return tokens, cost, order, taken, value:sub(table.remove(taken))
end

-- Takes are a list: of each scope its name, the number of fields, the fields.
local function each_take(takes)
  local at = 1
  return function()
    local name, count = takes[at], takes[at + 1]
    if not name then return nil end
    at = at + 2 + count
    return name, { unpack(takes, at - count, at - 1) }
  end
end

local function has_slot(fields)
  for _, field in ipairs(fields) do
    if field == 'o' then return true end
  end
  return false
end

-- The takes of the first call of a hold that is open, as they are kept.
local function first_takes(value)
  if value:sub(1, 1) == 'e' then return value:sub(2) end
  local _, _, _, _, body = unpack_call(value)
  return body:match('^[^\n]*')
end
