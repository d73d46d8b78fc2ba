-- Budgets as their periods come and go, as lib/limits/counters.ts has them. Stands after ledger-scopes.

local period_retention_ms = 86400000

local function start_of(field) return tonumber(field:match('^b:(%-?%d+):')) end
local function id_of(field) return field:match('^b:%-?%d+:(.*)$') end

local function all_budgets(scope)
  local budgets = {}
  for _, field in ipairs(redis.call('HKEYS', scope.key)) do
    if field:sub(1, 2) == 'b:' then position_of(scope, field) end
  end
  for _, field in ipairs(scope.fields) do
    if field:sub(1, 2) == 'b:' then budgets[#budgets + 1] = budget_at(scope, field) end
  end
  return budgets
end

local function add_budget(scope, field, ends)
  local budget = { field = field, spent = 0, held = 0, ends = ends, moved = false }
  scope.values[position_of(scope, field)] = budget
  if scope.deleted then scope.deleted[field] = nil end
  return budget
end

-- Forgets budgets whose period ended more than a day ago, and under which nothing is held.
local function prune_budgets(scope)
  local kept, forgotten, is_forgotten = {}, {}, {}
  for _, budget in ipairs(all_budgets(scope)) do
    local is_kept = budget.ends < 0 or budget.ends + period_retention_ms > now or latest(scope, budget).held > 0
    local list = is_kept and kept or forgotten
    list[#list + 1] = budget
    if not is_kept then is_forgotten[budget] = true end
  end
  if #forgotten == 0 then return end
  for _, budget in ipairs(kept) do
    if budget.moved then
      local stand = latest(scope, budget)
      budget.moved = not is_forgotten[stand] and stand.field
      write_budget(scope, budget)
    end
  end
  scope.deleted = scope.deleted or {}
  for _, budget in ipairs(forgotten) do
    scope.values[position_of(scope, budget.field)] = false
    scope.deleted[budget.field] = true
  end
end

-- The counter of a budget in a period, made where there is none. Whoever asks changes and writes it.
local function budget_of(scope, field, ends)
  local budget = find_budget(scope, field)
  if not budget then
    prune_budgets(scope)
    budget = add_budget(scope, field, ends)
  end
  if budget.field == field or start_of(budget.field) == start_of(field) then budget.ends = ends end
  return budget
end
