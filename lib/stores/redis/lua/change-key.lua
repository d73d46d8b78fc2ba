-- Stores a key (there is no `before`), replaces it, or removes it (there is no `after`), with all its index entries.
--
-- KEYS[1..7]  as in record-change.lua
-- KEYS[8]     key id by alias (hash)        KEYS[9]  key id by secret hash (hash)
-- KEYS[10]    filtered fields (hash)        KEYS[11] keys neither revoked nor disabled, by expiry (sorted set)
-- KEYS[12]    of these, the owner's before  KEYS[13] of these, the owner's after
-- KEYS[14..]  indexes to leave, then indexes to join (sorted sets of entries)
--
-- ARGV[2] { id, entry, leaving (number of indexes), maxActive?,
--           before?: { version, alias, hashes },
--           after?: { version, json, createdAtMs, alias, hashes, filtered, expiresAt?, isOwned, ownedBefore } }
--
-- Result: { 'changed', revision, last use or '', pending fences } or { a refusal } or { 'version_conflict', version }

local key = cjson.decode(ARGV[2])
local before, after = key.before, key.after

expect('hash', KEYS[8], KEYS[9], KEYS[10])
for position = 11, #KEYS do expect('zset', KEYS[position]) end

local function is_active(expires_at)
  if not expires_at then return false end
  return expires_at == '+inf' or tonumber(expires_at) > now
end

-- Whether the owner has no room for one more active key.
local function passes_owner_limit()
  if not key.maxActive or not after.isOwned or not is_active(after.expiresAt) then return false end
  local known = redis.call('ZSCORE', KEYS[13], key.id)
  local was_active = known and (known == 'inf' or tonumber(known) > now)
  if was_active then return false end
  return redis.call('ZCOUNT', KEYS[13], '(' .. integer(now), '+inf') >= key.maxActive
end

local function belongs_to_other(index, field)
  local id = redis.call('HGET', index, field)
  return id and id ~= key.id
end

local exists = redis.call('EXISTS', KEYS[1]) == 1
local revision

if not before then
  if exists then return { 'id_taken' } end
  if redis.call('HEXISTS', KEYS[8], after.alias) == 1 then return { 'alias_taken' } end
  for _, hash in ipairs(after.hashes) do
    if redis.call('HEXISTS', KEYS[9], hash) == 1 then return { 'secret_taken' } end
  end
  if passes_owner_limit() then return { 'owner_limit' } end
  revision = next_revision(0)
else
  if not exists then return { 'not_found' } end
  local version = stored_number('version')
  if version ~= before.version then return { 'version_conflict', integer(version) } end
  if after then
    if belongs_to_other(KEYS[8], after.alias) then return { 'alias_taken' } end
    if passes_owner_limit() then return { 'owner_limit' } end
  end
  revision = next_revision(stored_number('revision'))

  if not belongs_to_other(KEYS[8], before.alias) then redis.call('HDEL', KEYS[8], before.alias) end
  for _, hash in ipairs(before.hashes) do
    if not belongs_to_other(KEYS[9], hash) then redis.call('HDEL', KEYS[9], hash) end
  end
  redis.call('HDEL', KEYS[10], key.entry)
  redis.call('ZREM', KEYS[11], key.id)
  redis.call('ZREM', KEYS[12], key.id)
  for position = 14, 13 + key.leaving do redis.call('ZREM', KEYS[position], key.entry) end
end

local last_use = redis.call('HGET', KEYS[1], 'lastUsedAtMs') or ''

if after then
  redis.call('HSET', KEYS[1], 'json', after.json, 'version', integer(after.version), 'revision', integer(revision))
  redis.call('HSETNX', KEYS[1], 'createdAtMs', integer(after.createdAtMs))
  if last_use == '' and after.lastUsedAtMs then
    last_use = integer(after.lastUsedAtMs)
    redis.call('HSET', KEYS[1], 'lastUsedAtMs', last_use)
  end
  redis.call('HSET', KEYS[8], after.alias, key.id)
  for _, hash in ipairs(after.hashes) do redis.call('HSET', KEYS[9], hash, key.id) end
  redis.call('HSET', KEYS[10], key.entry, after.filtered)
  if after.expiresAt then
    redis.call('ZADD', KEYS[11], after.expiresAt, key.id)
    if after.isOwned then redis.call('ZADD', KEYS[13], after.expiresAt, key.id) end
  end
  for position = 14 + key.leaving, #KEYS do redis.call('ZADD', KEYS[position], 0, key.entry) end
else
  redis.call('DEL', KEYS[1])
end

return { 'changed', integer(revision), last_use, commit(revision) }
