-- Raises the fence of a scope and carries its budgets over; makes a scope known, by a new record or by a seed.
--
-- KEYS[1] the scope (hash)   KEYS[2] its nonce (string)
-- act: revision, carries, isNew, isClosed, nonce (a seed: only of an unknown scope whose nonce it is), retentionMs
-- Result: fenced, already, unknown

local scope = load_scope(KEYS[1], '', {})
if act.nonce then
  if scope.known then return 'already' end
  if redis.call('GET', KEYS[2]) ~= act.nonce then return 'unknown' end
elseif scope.known then
  -- A call judged by the changed record may have brought its revision, and carries nothing over.
  if scope.revision > act.revision and not (act.isClosed and not scope.closed) then return 'already' end
elseif not act.isNew and not act.isClosed then
  -- What is yet to be seeded with an earlier nonce was read before this change.
  redis.call('DEL', KEYS[2])
  return 'unknown'
end

local revision = math.max(scope.revision, act.revision)
for _, carry in ipairs(act.carries) do carry_budget(scope, carry) end
prune_budgets(scope)
write(scope, 'v', (scope.closed or act.isClosed) and -revision or revision)
save_scope(scope)
redis.call('DEL', KEYS[2])
-- Late settlements still count while their holds may be remembered.
if act.isClosed then redis.call('PEXPIRE', KEYS[1], act.retentionMs) end
return 'fenced'
