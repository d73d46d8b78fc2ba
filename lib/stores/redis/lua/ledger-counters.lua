-- The counters of scopes, as lib/limits/window.ts and counters.ts have them. Stands before the acts of the ledger.
--
-- A scope is a hash. v: the revision of its record, negative once the record is gone. o: its open holds.
-- w:<id>: a window, packed: length in ms, newest cell, total, count of the newest cell.
-- r:<id>: the earlier cells of a window that counted, oldest first, packed: cell, count.
-- b:<start>:<id>: a budget in a period, packed: spent, held, end (-1: none); then the field that took it over, if any.
--
-- ARGV[1] the act, as JSON of texts, whole numbers and flags

local act = cjson.decode(ARGV[1])
local cells_per_window = 60
local period_retention_ms = 86400000

local function present()
  if act.nowMs then return act.nowMs end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local now = present()
local jumps = {}

-- Reads the fields that an act is known to need in one command; value_of reads what else it comes upon.
local function load_scope(key, id, fields)
  local values = redis.call('HMGET', key, 'v', 'o', unpack(fields))
  local revision = tonumber(values[1] or '')
  local scope = {
    key = key,
    id = id,
    known = revision ~= nil,
    closed = revision ~= nil and revision < 0,
    revision = math.abs(revision or 0),
    open = tonumber(values[2] or '') or 0,
    values = {},
    windows = {},
    budgets = {},
    writes = {},
    deleted = {},
  }
  for index, field in ipairs(fields) do scope.values[field] = values[index + 2] end
  return scope
end

local function value_of(scope, field)
  local value = scope.values[field]
  if value == nil then
    value = redis.call('HGET', scope.key, field)
    scope.values[field] = value
  end
  return value
end

local function write(scope, field, value)
  scope.writes[#scope.writes + 1] = field
  scope.writes[#scope.writes + 1] = value
end

local function restart(window, cell, total)
  window.cell, window.total, window.current, window.finished = cell, total, total, ''
end

local function roll(scope, window)
  local cell = math.floor(now / window.cell_ms)
  local ahead = cell - window.cell
  if ahead <= 0 and ahead >= -cells_per_window then return end
  if ahead > cells_per_window or window.total == 0 then return restart(window, cell, 0) end
  if ahead < 0 then
    restart(window, cell, window.total)
    window.changed = true
    jumps[#jumps + 1] = { scope.id, window.id }
    return
  end
  local finished = window.finished or value_of(scope, 'r:' .. window.id) or ''
  if window.current ~= 0 then finished = finished .. struct.pack('<dd', window.cell, window.current) end
  local from = 1
  while from <= #finished do
    local at, count = struct.unpack('<dd', finished, from)
    if at >= cell - cells_per_window then break end
    window.total = window.total - count
    from = from + 16
  end
  window.finished, window.cell, window.current = finished:sub(from), cell, 0
end

-- The window, brought up to the present.
local function window_of(scope, id, window_ms)
  local window = scope.windows[id]
  if window then return window end
  local packed = value_of(scope, 'w:' .. id)
  if packed then
    local ms, cell, total, current = struct.unpack('<dddd', packed)
    window = { id = id, window_ms = ms, cell_ms = ms / cells_per_window, cell = cell, total = total, current = current }
  else
    local cell_ms = window_ms / cells_per_window
    window = { id = id, window_ms = window_ms, cell_ms = cell_ms, cell = 0, total = 0, current = 0, finished = '' }
  end
  scope.windows[id] = window
  roll(scope, window)
  return window
end

local function finished_of(scope, window)
  if not window.finished then window.finished = value_of(scope, 'r:' .. window.id) or '' end
  return window.finished
end

local function take_from_window(window, amount)
  window.current, window.total, window.changed = window.current + amount, window.total + amount, true
end

-- How much of an amount taken at this moment still counts in its cell, and where its cell stands.
local function returnable(scope, window, taken_at, amount)
  local cell = math.floor(taken_at / window.cell_ms)
  if cell == window.cell then return math.min(amount, window.current), 0 end
  if cell > window.cell or window.cell - cell > cells_per_window then return 0, 0 end
  local finished = finished_of(scope, window)
  for from = 1, #finished, 16 do
    local at, count = struct.unpack('<dd', finished, from)
    if at == cell then return math.min(amount, count), from end
  end
  return 0, 0
end

local function give_back(scope, window, taken_at, amount)
  local given, from = returnable(scope, window, taken_at, amount)
  if given == 0 then return end
  window.total, window.changed = window.total - given, true
  if from == 0 then
    window.current = window.current - given
    return
  end
  local finished = window.finished
  local at, count = struct.unpack('<dd', finished, from)
  window.finished = finished:sub(1, from - 1) .. struct.pack('<dd', at, count - given) .. finished:sub(from + 16)
end

-- Milliseconds until the amount fits if nothing is given back; -1: never.
local function wait_for_room(scope, window, amount, limit)
  if amount > limit then return -1 end
  local excess = window.total + amount - limit
  if excess <= 0 then return 0 end
  local finished = finished_of(scope, window)
  for from = 1, #finished, 16 do
    local at, count = struct.unpack('<dd', finished, from)
    excess = excess - count
    if excess <= 0 then return (at + cells_per_window + 1) * window.cell_ms - now end
  end
  if excess - window.current > 0 then return -1 end
  return (window.cell + cells_per_window + 1) * window.cell_ms - now
end

local function budget_at(scope, field)
  local budget = scope.budgets[field]
  if budget then return budget end
  local packed = value_of(scope, field)
  if not packed then return nil end
  local spent, held, ends = struct.unpack('<ddd', packed)
  budget = { field = field, spent = spent, held = held, ends = ends, moved = packed:sub(25) }
  scope.budgets[field] = budget
  return budget
end

local function latest(scope, budget)
  while budget.moved ~= '' do budget = budget_at(scope, budget.moved) end
  return budget
end

local function find_budget(scope, field)
  local budget = budget_at(scope, field)
  return budget and latest(scope, budget)
end

local function start_of(field) return tonumber(field:match('^b:(%-?%d+):')) end
local function id_of(field) return field:match('^b:%-?%d+:(.*)$') end

local function all_budgets(scope)
  for _, field in ipairs(redis.call('HKEYS', scope.key)) do
    if field:sub(1, 2) == 'b:' then budget_at(scope, field) end
  end
  return scope.budgets
end

local function add_budget(scope, field, ends)
  local budget = { field = field, spent = 0, held = 0, ends = ends, moved = '', changed = true }
  scope.budgets[field] = budget
  return budget
end

-- Forgets budgets whose period ended more than a day ago, and under which nothing is held.
local function prune_budgets(scope)
  local forgotten = {}
  for field, budget in pairs(all_budgets(scope)) do
    local is_kept = budget.ends < 0 or budget.ends + period_retention_ms > now or latest(scope, budget).held > 0
    if not is_kept then forgotten[field] = true end
  end
  if next(forgotten) == nil then return end
  for field, budget in pairs(scope.budgets) do
    if not forgotten[field] and budget.moved ~= '' then
      local stand = latest(scope, budget).field
      budget.moved, budget.changed = forgotten[stand] and '' or stand, true
    end
  end
  for field in pairs(forgotten) do
    scope.budgets[field], scope.values[field] = nil, false
    scope.deleted[#scope.deleted + 1] = field
  end
end

local function open_budget(scope, field, ends)
  local budget = find_budget(scope, field)
  if not budget then
    prune_budgets(scope)
    budget = add_budget(scope, field, ends)
  end
  if start_of(budget.field) == start_of(field) then budget.ends = ends end
  return budget
end

local function move_budget(source, target)
  if source == target then return end
  target.held = target.held + source.held
  source.held, source.spent, source.moved, source.changed = 0, 0, target.field, true
end

local function carry_budget(scope, carry)
  local source = carry.from and find_budget(scope, carry.from)
  local target = budget_at(scope, carry.field) or add_budget(scope, carry.field, carry.ends)
  local stand = latest(scope, target)
  target.ends, target.changed = carry.ends, true
  if source == target then return end
  target.moved = ''
  target.spent = math.max(target.spent, source and source.spent or 0, carry.opening)
  move_budget(stand, target)
  if source then move_budget(source, target) end
  if not carry.from then return end
  local start, id = start_of(carry.field), id_of(carry.from)
  for field, budget in pairs(all_budgets(scope)) do
    local reaches = budget.ends < 0 or budget.ends > start
    if reaches and id_of(field) == id and budget.moved == '' then move_budget(budget, target) end
  end
end

-- A counter that was lost or forgotten. One of a period that has been followed by another serves nobody any more.
local function reopen(scope, field)
  local id, start = id_of(field), start_of(field)
  for other in pairs(all_budgets(scope)) do
    if id_of(other) == id and start_of(other) > start then return nil end
  end
  return add_budget(scope, field, -1)
end

-- Replaces what a call took from one limit by what it consumed; answers the budget that it changed.
local function correct(scope, taken, correction)
  if taken.kind == 'tokens' then
    local window = window_of(scope, taken.id, taken.size)
    local more = correction.tokens - correction.counted
    if more > 0 then take_from_window(window, more)
    elseif more < 0 then give_back(scope, window, correction.at, -more) end
  elseif taken.kind == 'budget' then
    local budget = find_budget(scope, taken.id) or reopen(scope, taken.id)
    if not budget then return nil end
    budget.held = budget.held - correction.held
    budget.spent = math.max(0, budget.spent + correction.spent)
    budget.changed = true
    return budget
  end
end

-- Starts or renews a lease. The fraction keeps holds of one millisecond in their order; a score has 12 bits to spare.
local function start_lease(leases, hold_id, lease_ms)
  local ends = now + lease_ms
  local range = { string.format('(%.0f', ends + 1), string.format('%.0f', ends) }
  local last = redis.call('ZREVRANGEBYSCORE', leases, range[1], range[2], 'WITHSCORES', 'LIMIT', 0, 1)[2]
  local score = last and math.min(tonumber(last) + 1 / 4096, ends + 4095 / 4096) or ends
  redis.call('ZADD', leases, score, hold_id)
end

local function is_over(lease_ends) return math.floor(tonumber(lease_ends)) <= now end

-- The latest score of a lease that is over.
local function over_until() return '(' .. string.format('%.0f', now + 1) end

local function save_scope(scope)
  for id, window in pairs(scope.windows) do
    if window.changed then
      write(scope, 'w:' .. id, struct.pack('<dddd', window.window_ms, window.cell, window.total, window.current))
      if window.finished then write(scope, 'r:' .. id, window.finished) end
    end
  end
  for field, budget in pairs(scope.budgets) do
    if budget.changed then
      write(scope, field, struct.pack('<ddd', budget.spent, budget.held, budget.ends) .. budget.moved)
    end
  end
  if #scope.deleted > 0 then redis.call('HDEL', scope.key, unpack(scope.deleted)) end
  if #scope.writes > 0 then redis.call('HSET', scope.key, unpack(scope.writes)) end
end
