-- Raises the fence of a scope and carries its budgets over; makes a scope known, by a new record or by a seed.
--
-- KEYS[1] the scope (hash)   KEYS[2] its nonce (string)
-- ARGV[2] the change, as JSON: revision, carries {field, ends, from, opening}, isNew, isClosed, nonce (a seed: only of an
--   unknown scope whose nonce it is), retentionMs
-- Result: fenced, already, unknown

local change = cjson.decode(ARGV[2])
local scope = load_scope(1, KEYS[1])
if change.nonce then
  if scope.known then return 'already' end
  if redis.call('GET', KEYS[2]) ~= change.nonce then return 'unknown' end
elseif scope.known then
  -- A call judged by the changed record may have brought its revision, and carries nothing over.
  if scope.revision > change.revision and not (change.isClosed and not scope.closed) then return 'already' end
elseif not change.isNew and not change.isClosed then
  -- What is yet to be seeded with an earlier nonce was read before this change.
  redis.call('DEL', KEYS[2])
  return 'unknown'
end

local function move_budget(source, target)
  if source == target then return end
  target.held = target.held + source.held
  source.held, source.spent, source.moved = 0, 0, target.field
  write_budget(scope, source)
end

local function carry_budget(carry)
  local source = carry.from and find_budget(scope, carry.from)
  local target = budget_at(scope, carry.field) or add_budget(scope, carry.field, carry.ends)
  local stand = latest(scope, target)
  target.ends = carry.ends
  if source ~= target then
    target.moved = false
    target.spent = math.max(target.spent, source and source.spent or 0, carry.opening)
    move_budget(stand, target)
    if source then move_budget(source, target) end
    if carry.from then
      local start, id = start_of(carry.field), id_of(carry.from)
      for _, budget in ipairs(all_budgets(scope)) do
        local reaches = budget.ends < 0 or budget.ends > start
        if reaches and id_of(budget.field) == id and not budget.moved then move_budget(budget, target) end
      end
    end
  end
  write_budget(scope, target)
end

local revision = math.max(scope.revision, change.revision)
for _, carry in ipairs(change.carries) do carry_budget(carry) end
prune_budgets(scope)
write(scope, 'v', (scope.closed or change.isClosed) and -revision or revision)
save_scope(scope)
redis.call('DEL', KEYS[2])
-- Late settlements still count while their holds may be remembered.
if change.isClosed then redis.call('PEXPIRE', KEYS[1], change.retentionMs) end
return 'fenced'
