-- Reads the counters of one scope, by the present.
--
-- KEYS[1] the scope (hash)
-- Result: nothing if it is unknown, else jumps, revision, open holds, windows: field, used; budgets: field, spent, held

local names = redis.call('HKEYS', KEYS[1])
local scope = load_scope(1, KEYS[1], 'o')
if not scope.known then return false end
local windows, budgets = {}, {}
for _, field in ipairs(names) do
  local kind = field:sub(1, 2)
  if kind == 'q:' or kind == 't:' then
    windows[#windows + 1] = { field, window_of(scope, field).total }
  elseif kind == 'b:' then
    local budget = budget_at(scope, field)
    if not budget.moved then budgets[#budgets + 1] = { field, budget.spent, budget.held } end
  end
end
save_scope(scope)
return { jumps, scope.revision, slots_of(scope), windows, budgets }
