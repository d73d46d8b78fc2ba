-- Windows as they move on, as lib/limits/window.ts has them. Stands after ledger-time.

local cells_per_window = 60

-- A window brought up to the present: newest cell, total, count of that cell; then, where they have changed, the earlier
-- cells as they are packed, and whether the clock has stepped back.
local function rolled(key, field, cell_ms, cell, total, current)
  local present = math.floor(now / cell_ms)
  local ahead = present - cell
  if ahead <= 0 and ahead >= -cells_per_window then return cell, total, current end
  if ahead > cells_per_window or total == 0 then return present, 0, 0, '' end
  if ahead < 0 then return present, total, total, '', true end
  local earlier = redis.call('HGET', key, 'r:' .. field) or ''
  if current ~= 0 then earlier = earlier .. struct.pack('<dd', cell, current) end
  local from = 1
  while from <= #earlier do
    local at, count = struct.unpack('<dd', earlier, from)
    if at >= present - cells_per_window then break end
    total = total - count
    from = from + 16
  end
  -- Redis hashes every byte of a text that Lua makes.
  return present, total, 0, from == 1 and earlier or earlier:sub(from)
end

-- Takes back what one of the earlier cells of a window still counts of an amount: how much, and the cells without it.
local function given_back(earlier, newest, cell, amount)
  -- It stands no further from the end than cells have passed since.
  for from = math.max(1, #earlier - 15 - 16 * (newest - 1 - cell)), #earlier, 16 do
    local at, count = struct.unpack('<dd', earlier, from)
    if at == cell then
      local given = math.min(amount, count)
      return given, earlier:sub(1, from - 1) .. struct.pack('<dd', at, count - given) .. earlier:sub(from + 16)
    end
    if at > cell then break end
  end
  return 0, earlier
end
