-- Most admissions: first calls without a clamp, whose scopes are known under these revisions, whose counters are there and
-- in their present cells, and which fit. One pass takes all. Whatever is else changes nothing here, and is decided by
-- admit, which stands below it with all that it needs.

local function take_at_once()
  local taken, takings = { now, tokens, cost, -1 }, {}
  local index, next_end = fields_at, ends_at
  for position = 1, scope_count do
    local revision, count = plan[4 + position * 2], plan[5 + position * 2]
    local values = redis.call('HMGET', KEYS[position + 2], 'v', unpack(plan, index + 1, index + count))
    if not values[1] and (revision > 0 or count > 0) then return nil end
    if values[1] and tonumber(values[1]) ~= revision then return nil end
    local taking = { 'HSET', KEYS[position + 2] }
    for at = 2, count + 1 do
      index = index + 1
      local field, limit, value = plan[index], plan[index + limit_count], values[at]
      local kind = field:sub(1, 1)
      local left
      if kind == 'o' then
        value = (tonumber(value) or 0) + 1
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
        local start, amount = cell * cell_ms, kind == 'q' and 1 or tokens
        if now < start or now >= start + cell_ms then return nil end
        value = struct.pack('<dddd', cell_ms, cell, total + amount, current + amount)
        left = limit - total - amount
      end
      if limit < 0 then left = -1 elseif limit == 0 or left < 0 then return nil end
      taking[at * 2 - 1], taking[at * 2] = field, value
      taken[4 + index - fields_at] = left
    end
    takings[position] = taking
  end
  for _, taking in ipairs(takings) do
    if #taking > 2 then redis.call(unpack(taking)) end
  end
  return taken
end

if not ARGV[5] and now - minted_at <= oldest_admission_ms and redis.call('EXISTS', KEYS[1]) == 0 then
  local is_in_time = now >= valid_from and now < valid_until and (not_after < 0 or now < not_after)
  local fits_alone = max_tokens < 0 or tokens <= max_tokens
  local taken = is_in_time and fits_alone and take_at_once()
  if taken then
    open_hold(taken)
    return taken
  end
end
