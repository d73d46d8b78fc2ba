-- The counters of scopes, as lib/limits/window.ts and counters.ts have them. Stands after ledger-windows.
--
-- A scope is a hash. v: the revision of its record, negative once the record is gone. f: that of the latest fence, whose
-- budgets were carried over. o: its open holds.
-- q:<ms>:<id> and t:<ms>:<id>: a window of requests or of tokens, packed: length of a cell in ms, newest cell, total,
--   count of the newest cell.
-- r:<field of a window>: its earlier cells that counted, oldest first, packed: cell, count.
-- b:<start>:<id>: a budget in a period, packed: spent, held, end (-1: none); then the field that took it over, if any.
--
-- What is read is a table from here on. Each change of it is written at once, and sent by save_scope.

-- Reads the fields that an act is known to need; position_of reads what else it comes upon.
local function load_scope(position, key, ...)
  local values = redis.call('HMGET', key, 'v', ...)
  local revision = tonumber(values[1])
  return {
    position = position,
    key = key,
    known = revision ~= nil,
    closed = revision ~= nil and revision < 0,
    revision = revision and math.abs(revision) or 0,
    fields = { ... },
    -- One more than fields: texts as they are stored, then counters in their place.
    values = values,
    writes = {},
  }
end

local function position_of(scope, field)
  local fields = scope.fields
  for index = 1, #fields do
    if fields[index] == field then return index + 1 end
  end
  local position = #fields + 2
  fields[position - 1], scope.values[position] = field, redis.call('HGET', scope.key, field)
  return position
end

local function write(scope, field, value)
  local writes = scope.writes
  local count = #writes
  writes[count + 1], writes[count + 2] = field, value
end

local function write_window(scope, field, window)
  write(scope, field, struct.pack('<dddd', window.cell_ms, window.cell, window.total, window.current))
  if window.finished then write(scope, 'r:' .. field, window.finished) end
end

local function write_budget(scope, budget)
  write(scope, budget.field, struct.pack('<ddd', budget.spent, budget.held, budget.ends) .. (budget.moved or ''))
end

local function save_scope(scope)
  if #scope.writes > 0 then redis.call('HSET', scope.key, unpack(scope.writes)) end
  for field in pairs(scope.deleted or {}) do redis.call('HDEL', scope.key, field) end
end

local function finished_of(scope, field, window)
  if not window.finished then window.finished = redis.call('HGET', scope.key, 'r:' .. field) or '' end
  return window.finished
end

-- The window at a position of the scope's values, brought up to the present.
local function open_window(scope, field, position)
  local packed = scope.values[position]
  local window
  if packed then
    local cell_ms, cell, total, current = struct.unpack('<dddd', packed)
    window = { cell_ms = cell_ms, cell = cell, total = total, current = current }
    local is_jump
    window.cell, window.total, window.current, window.finished, is_jump =
      rolled(scope.key, field, cell_ms, cell, total, current)
    if is_jump then
      write_window(scope, field, window)
      jumps[#jumps + 1] = { scope.position, field }
    end
  else
    local cell_ms = field:match('^%a:(%d+)') / cells_per_window
    window = { cell_ms = cell_ms, cell = math.floor(now / cell_ms), total = 0, current = 0, finished = '' }
  end
  scope.values[position] = window
  return window
end

local function window_of(scope, field)
  local position = position_of(scope, field)
  local window = scope.values[position]
  return type(window) == 'table' and window or open_window(scope, field, position)
end

-- Milliseconds until the amount fits if nothing is given back; -1: never.
local function wait_for_room(scope, field, window, amount, limit)
  if amount > limit then return -1 end
  local excess = window.total + amount - limit
  if excess <= 0 then return 0 end
  local finished = finished_of(scope, field, window)
  for from = 1, #finished, 16 do
    local at, count = struct.unpack('<dd', finished, from)
    excess = excess - count
    if excess <= 0 then return (at + cells_per_window + 1) * window.cell_ms - now end
  end
  if excess - window.current > 0 then return -1 end
  return (window.cell + cells_per_window + 1) * window.cell_ms - now
end

local function take_from_window(scope, field, window, amount)
  window.current, window.total = window.current + amount, window.total + amount
  write_window(scope, field, window)
end

local function slots_of(scope) return tonumber(scope.values[position_of(scope, 'o')]) or 0 end

local function take_slots(scope, count)
  local position = position_of(scope, 'o')
  scope.values[position] = (tonumber(scope.values[position]) or 0) + count
  write(scope, 'o', scope.values[position])
end

-- The budget at a position of the scope's values, or nil.
local function open_budget(scope, field, position)
  local packed = scope.values[position]
  if not packed then return nil end
  local spent, held, ends = struct.unpack('<ddd', packed)
  local budget = { field = field, spent = spent, held = held, ends = ends, moved = #packed > 24 and packed:sub(25) }
  scope.values[position] = budget
  return budget
end

local function budget_at(scope, field)
  local position = position_of(scope, field)
  local budget = scope.values[position]
  return type(budget) == 'table' and budget or open_budget(scope, field, position)
end

local function latest(scope, budget)
  while budget.moved do budget = budget_at(scope, budget.moved) end
  return budget
end

local function find_budget(scope, field)
  local budget = budget_at(scope, field)
  return budget and latest(scope, budget)
end
