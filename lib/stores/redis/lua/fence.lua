-- Raises the fence of a scope and carries its budgets over; makes a scope known, by a new record or by a seed.
--
-- KEYS[1] the scope (hash)   KEYS[2] its nonce (string)
-- ARGV[2] the change, as JSON: revision, carries {field, ends, from, opening}, isNew, isClosed, nonce (a seed: only of an
--   unknown scope whose nonce it is), retentionMs
-- Result: fenced, already, unknown

local change = cjson.decode(ARGV[2])
local scope = load_scope(1, KEYS[1])
-- A call judged by a change may have brought the revision of it, or of a later one, and carries nothing over.
local carried_revision = tonumber(redis.call('HGET', KEYS[1], 'f')) or scope.revision
local is_overtaken = scope.revision > carried_revision
if change.nonce then
  if scope.known then return 'already' end
  if redis.call('GET', KEYS[2]) ~= change.nonce then return 'unknown' end
elseif scope.known then
  if carried_revision >= change.revision and not (change.isClosed and not scope.closed) then return 'already' end
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
    local carried = math.max(source and source.spent or 0, carry.opening)
    target.spent = is_overtaken and target.spent + carried or math.max(target.spent, carried)
    move_budget(stand, target)
    if source then move_budget(source, target) end
    if carry.from then
      local start, id = start_of(carry.field), id_of(carry.from)
      for _, budget in ipairs(all_budgets(scope)) do
        local reaches = budget.ends < 0 or budget.ends > start
        -- That of a later change waits for the fence of its own.
        local is_over = budget.ends >= 0 and budget.ends <= now
        if reaches and (is_over or not is_overtaken) and id_of(budget.field) == id and not budget.moved then move_budget(budget, target) end
      end
    end
  end
  write_budget(scope, target)
end

local revision = math.max(scope.revision, change.revision)
for _, carry in ipairs(change.carries) do carry_budget(carry) end
prune_budgets(scope)
write(scope, 'f', math.max(carried_revision, change.revision))
write(scope, 'v', (scope.closed or change.isClosed) and -revision or revision)
save_scope(scope)
redis.call('DEL', KEYS[2])
-- Late settlements still count while their holds may be remembered.
if change.isClosed then redis.call('PEXPIRE', KEYS[1], change.retentionMs) end
return 'fenced'
