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
  return present, total, 0, earlier:sub(from)
end
