-- Most admissions: first calls without a clamp, whose scopes are known under these revisions, whose counters are there,
-- and which fit. One pass takes all. Whatever is else changes nothing here, and is decided by
-- admit. Stands after ledger-windows; tells what a plan is.
--
-- A plan is a list: valid from, valid until, the most tokens of a request (-1: any), number of scopes, of limits; of each
-- scope: revision, number of its limits; then the fields of all limits, then their amounts (-1: none), then the ends of
-- those that are budgets (-1: none).

local oldest_admission_ms = 300000

-- Whether a call may be admitted at this time, whatever counts.
local function is_timely(plan, minted_at, not_after)
  return now - minted_at <= oldest_admission_ms
    and (not_after < 0 or now < not_after) and now >= plan[1] and now < plan[2]
end

-- Takes what so many calls under a plan take together, with its scopes in KEYS after so many others; answers what is left
-- of each limit (-1: it has none), or nothing.
local function take_at_once(plan, keys_before, calls, tokens, cost)
  local left_of, takings = {}, {}
  local limit_count = plan[5]
  local fields_at = 5 + plan[4] * 2
  local index, next_end = fields_at, fields_at + limit_count * 2
  for position = 1, plan[4] do
    local revision, count = plan[4 + position * 2], plan[5 + position * 2]
    local key = KEYS[keys_before + position]
    local values = redis.call('HMGET', key, 'v', unpack(plan, index + 1, index + count))
    if not values[1] and (revision > 0 or count > 0) then return nil end
    if values[1] and tonumber(values[1]) ~= revision then return nil end
    local taking, rolls = { 'HSET', key }, nil
    for at = 2, count + 1 do
      index = index + 1
      local field, limit, value = plan[index], plan[index + limit_count], values[at]
      local kind = field:sub(1, 1)
      local left
      if kind == 'o' then
        value = (tonumber(value) or 0) + calls
        left = limit - value
      elseif not value then
        return nil
      elseif kind == 'b' then
        local spent, held, ends = struct.unpack('<ddd', value)
        next_end = next_end + 1
        if #value > 24 or ends ~= plan[next_end] then return nil end
        value = struct.pack('<ddd', spent, held + cost, ends)
        left = limit - (spent + held) - cost
      else
        local cell_ms, cell, total, current = struct.unpack('<dddd', value)
        local start, amount = cell * cell_ms, kind == 'q' and calls or tokens
        if now < start or now >= start + cell_ms then
          local earlier, is_jump
          cell, total, current, earlier, is_jump = rolled(key, field, cell_ms, cell, total, current)
          if is_jump then return nil end
          if earlier then
            rolls = rolls or { 'HSET', key }
            local at_end = #rolls
            rolls[at_end + 1], rolls[at_end + 2] = 'r:' .. field, earlier
          end
        end
        value = struct.pack('<dddd', cell_ms, cell, total + amount, current + amount)
        left = limit - total - amount
      end
      if limit < 0 then left = -1 elseif limit == 0 or left < 0 then return nil end
      taking[at * 2 - 1], taking[at * 2] = field, value
      left_of[index - fields_at] = left
    end
    if count > 0 then takings[#takings + 1] = taking end
    takings[#takings + 1] = rolls
  end
  for _, taking in ipairs(takings) do redis.call(unpack(taking)) end
  return left_of
end

-- A call as holds keep it. tokens, cost: what was asked for; order: how many fields the hold had before; taken: its numbers
local function pack_call(tokens, cost, order, taken, body)
  local count = #taken
  return 'o' .. struct.pack('<dddd' .. ('d'):rep(count), tokens, cost, order, count, unpack(taken)) .. body
end
