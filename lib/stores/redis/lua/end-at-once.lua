-- Most ends: of the only call of a hold, which is open and took in one shard, and whose counters are there. One pass ends
-- it. Whatever is else changes nothing here, and is ended by end-call, which tells of KEYS and ARGV. Stands after
-- ledger-windows and ledger-usage, before what end-call needs besides.

local ended_ms = 3600000
local _, at, input, output, cache_read, cache_write, used_cost = unpack(numbers)
local is_settlement = ARGV[10] ~= nil
local usage_keys = { stream = KEYS[3], days = KEYS[4], sums = KEYS[5], days_of_key = KEYS[6] }

local function append_settlement(event)
  local sums = { 1, input, output, cache_read, cache_write, used_cost, 0 }
  append_line(usage_keys, { event = event, member = ARGV[11], field = ARGV[12], other = ARGV[13], sums = sums })
end

-- Remembers that the hold has ended.
local function end_hold(call_field)
  redis.call('HSET', KEYS[1], 'n', 0, call_field, 'e', 'c:', 'e')
  redis.call('PEXPIRE', KEYS[1], ended_ms)
  redis.call('ZREM', KEYS[2], ARGV[4])
end

-- Answers how each budget stands, or nothing.
local function end_at_once()
  local known = redis.call('HMGET', KEYS[1], 'n', 'c:', 'p')
  local call = known[2]
  if known[1] ~= '1' or not call or call:sub(1, 1) ~= 'o' or known[3] then return nil end
  local taken_at, counted, held = struct.unpack('<ddd', call, 34)
  local more = (is_settlement and input + output or 0) - counted
  local takes, spent_now, changes = cjson.decode(ARGV[6]), {}, {}
  local index, position = 1, 7
  while takes[index] do
    local key, last = KEYS[position], index + 1 + takes[index + 1]
    local values = redis.call('HMGET', key, 'v', unpack(takes, index + 2, last))
    if not values[1] then return nil end
    local change = { 'HSET', key }
    for field_at = index + 2, last do
      local field, value, earlier = takes[field_at], values[field_at - index], nil
      local kind = field:sub(1, 1)
      if kind == 'o' then
        value = (tonumber(value) or 0) - 1
      elseif kind == 'q' or kind == 't' and more == 0 then
        value = nil
      elseif not value then
        return nil
      elseif kind == 'b' then
        if #value > 24 then return nil end
        local spent, held_now, ends = struct.unpack('<ddd', value)
        spent = spent + (used_cost or 0)
        spent_now[#spent_now + 1] = spent
        value = struct.pack('<ddd', spent, held_now - held, ends)
      else
        local cell_ms, cell, total, current = struct.unpack('<dddd', value)
        local is_jump
        cell, total, current, earlier, is_jump = rolled(key, field, cell_ms, cell, total, current)
        if is_jump then return nil end
        local change_of_cell = more
        if more < 0 then
          local taken_in = math.floor(taken_at / cell_ms)
          if taken_in == cell then
            change_of_cell = -math.min(-more, current)
            current = current + change_of_cell
          else
            earlier = earlier or redis.call('HGET', key, 'r:' .. field) or ''
            local given
            given, earlier = given_back(earlier, cell, taken_in, -more)
            change_of_cell = -given
          end
        else
          current = current + more
        end
        value = struct.pack('<dddd', cell_ms, cell, total + change_of_cell, current)
      end
      if value then change[#change + 1], change[#change + 2] = field, value end
      if earlier then change[#change + 1], change[#change + 2] = 'r:' .. field, earlier end
    end
    if #change > 2 then changes[#changes + 1] = change end
    index, position = last + 1, position + 1
  end
  if is_settlement then append_settlement(ARGV[10]) end
  end_hold('c:')
  for _, change in ipairs(changes) do redis.call(unpack(change)) end
  return spent_now
end

if ARGV[5] == '' and ARGV[7] == '' and ARGV[8] == '' then
  local spent_now = end_at_once()
  if spent_now then return spent_now end
end
