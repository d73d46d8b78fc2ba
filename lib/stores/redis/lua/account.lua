-- Money that comes or goes without a hold, once for each id: an adjustment, or usage that was measured elsewhere.
--
-- KEYS[1] the mark of its id (string)   KEYS[2] stream of usage   KEYS[3] days of all keys   KEYS[4] sums of the day
-- KEYS[5] days of the key               KEYS[6..] act.scopeIds, in their order
-- act: budgets {scope, field, ends}; costNanoUsd: what they are charged, absent: they are set to zero; line; before
--   and after: an adjustment's event around the number that is known here alone
-- Result: state (done, already), what the first budget had spent, charged budgets: scope, field, spent

if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', 86400000) then return { 'already', 0, {} } end
local scopes = {}
for position, id in ipairs(act.scopeIds) do scopes[position] = load_scope(KEYS[position + 5], id, {}) end

local charged, first = {}, 0
for index, asked in ipairs(act.budgets) do
  local scope = scopes[asked.scope]
  if scope.known and act.costNanoUsd then
    if act.costNanoUsd ~= 0 then
      local budget = open_budget(scope, asked.field, asked.ends)
      budget.spent, budget.changed = budget.spent + act.costNanoUsd, true
      charged[#charged + 1] = { scope.id, budget.field, budget.spent }
    end
  elseif scope.known then
    local budget = find_budget(scope, asked.field)
    if budget then
      if index == 1 then first = budget.spent end
      budget.spent, budget.changed = 0, true
    end
  end
end
for _, scope in ipairs(scopes) do save_scope(scope) end

local keys = { stream = KEYS[2], days = KEYS[3], sums = KEYS[4], days_of_key = KEYS[5] }
if act.costNanoUsd then
  append_line(keys, act.line)
elseif first ~= 0 then
  act.line.event = act.before .. string.format('%.0f', -first) .. act.after
  act.line.sums = { 0, 0, 0, 0, 0, 0, -first }
  append_line(keys, act.line)
end
return { 'done', first, charged }
