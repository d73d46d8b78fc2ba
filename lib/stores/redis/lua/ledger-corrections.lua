-- Replaces what calls took by what they consumed, as lib/limits/counters.ts does. Stands after ledger-periods.

-- How much of an amount taken at this moment still counts; then, where its cell is an earlier one, these without it.
local function returnable(scope, field, window, taken_at, amount)
  local cell = math.floor(taken_at / window.cell_ms)
  if cell == window.cell then return math.min(amount, window.current) end
  if cell > window.cell or window.cell - cell > cells_per_window then return 0 end
  return given_back(finished_of(scope, field, window), window.cell, cell, amount)
end

local function give_back(scope, field, window, taken_at, amount)
  local given, finished = returnable(scope, field, window, taken_at, amount)
  if given == 0 then return end
  window.total = window.total - given
  if finished then window.finished = finished else window.current = window.current - given end
  write_window(scope, field, window)
end

-- A counter that was lost or forgotten. One of a period that has been followed by another serves nobody any more.
local function reopen(scope, field)
  local id, start = id_of(field), start_of(field)
  for _, other in ipairs(all_budgets(scope)) do
    if id_of(other.field) == id and start_of(other.field) > start then return nil end
  end
  return add_budget(scope, field, -1)
end

-- Replaces what a call took from one counter; answers the budget that it changed.
-- correction: at, when it was taken; counted, the tokens until now; tokens from now on; held, taken off; spent, added
local function correct(scope, field, correction)
  local kind = field:sub(1, 1)
  if kind == 't' then
    local window = window_of(scope, field)
    local more = correction.tokens - correction.counted
    if more > 0 then take_from_window(scope, field, window, more)
    elseif more < 0 then give_back(scope, field, window, correction.at, -more) end
  elseif kind == 'b' then
    local budget = find_budget(scope, field) or reopen(scope, field)
    if not budget then return nil end
    budget.held = budget.held - correction.held
    budget.spent = math.max(0, budget.spent + correction.spent)
    write_budget(scope, budget)
    return budget
  end
end
