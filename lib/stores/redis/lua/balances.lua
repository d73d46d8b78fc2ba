-- Reads the counters of one scope, by the present.
--
-- KEYS[1] the scope (hash)   act: scopeIds, its id alone
-- Result: nothing if it is unknown, else jumps, revision, open holds, windows: id, ms, used; budgets: field, spent, held

local scope = load_scope(KEYS[1], act.scopeIds[1], {})
if not scope.known then return false end
local windows, budgets = {}, {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, 2) == 'w:' then
    local window = window_of(scope, field:sub(3), 0)
    windows[#windows + 1] = { window.id, window.window_ms, window.total }
  elseif field:sub(1, 2) == 'b:' then
    local budget = budget_at(scope, field)
    if budget.moved == '' then budgets[#budgets + 1] = { field, budget.spent, budget.held } end
  end
end
save_scope(scope)
return { jumps, scope.revision, scope.open, windows, budgets }
