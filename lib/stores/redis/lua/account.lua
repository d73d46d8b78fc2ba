-- Money that comes or goes without a hold, once for each id: an adjustment, or usage that was measured elsewhere.
--
-- KEYS[1] the mark of its id (string)   KEYS[2] stream of usage   KEYS[3] days of all keys   KEYS[4] sums of the day
-- KEYS[5] days of the key               KEYS[6..] scopes
-- ARGV[2], ARGV[3] as in ledger-usage.lua
-- ARGV[4] the act, as JSON: scopes, how many; budgets {position, field, ends}; cost: what they are charged, absent: they
--   are set to zero; line, which the home of the key alone has; before and after: an adjustment's event around the number that is known here alone
-- Result: state (done, already), what the first budget had spent, charged budgets: position of the scope, field, spent

if redis.call('EXISTS', KEYS[1]) == 1 then return { 'already', 0, {} } end
local act = cjson.decode(ARGV[4])
local scopes = {}
for position = 1, act.scopes do scopes[position] = load_scope(position, KEYS[position + 5]) end
-- Not before: what cannot be read fails, and is not done.
redis.call('SET', KEYS[1], 1, 'PX', 86400000)

local charged, first = {}, 0
for index, asked in ipairs(act.budgets) do
  local scope = scopes[asked.position]
  if scope.known and act.cost then
    if act.cost ~= 0 then
      local budget = budget_of(scope, asked.field, asked.ends)
      budget.spent = budget.spent + act.cost
      write_budget(scope, budget)
      charged[#charged + 1] = { asked.position, budget.field, budget.spent }
    end
  elseif scope.known then
    local budget = find_budget(scope, asked.field)
    if budget then
      if index == 1 then first = budget.spent end
      budget.spent = 0
      write_budget(scope, budget)
    end
  end
end
for _, scope in ipairs(scopes) do save_scope(scope) end

local keys = { stream = KEYS[2], days = KEYS[3], sums = KEYS[4], days_of_key = KEYS[5] }
if act.cost then
  if act.line then append_line(keys, act.line) end
elseif first ~= 0 then
  act.line.event = act.before .. string.format('%.0f', -first) .. act.after
  act.line.sums = { 0, 0, 0, 0, 0, 0, -first }
  append_line(keys, act.line)
end
return { 'done', first, charged }
