-- What every change of a record does besides: its time, its revision, and the rows that are written in the same act.
-- Stands before the script of the change, and after present.lua and outbox-rows.lua.
--
-- KEYS[1] the record (hash)           KEYS[2] the latest number of a row (string)
-- KEYS[3] audit entries (sorted set)  KEYS[4] audit rows (hash)
-- KEYS[5] outbox order (sorted set)   KEYS[6] outbox rows (hash), as in outbox-rows.lua
-- KEYS[7] pending fences (sorted set of scope, number, revision and fence, with NUL in between)
--
-- ARGV[1] the change, as JSON of texts, whole numbers and flags. Records are texts in it and stay what they are: cjson
-- would turn an empty list into an object, and write no more than 14 digits of a number.

local change = cjson.decode(ARGV[1])

-- Nothing is taken back when a command fails on a key of another type: that is looked for before the first write.
local function expect(kind, ...)
  for _, key in ipairs({ ... }) do
    local found = redis.call('TYPE', key).ok
    if found ~= kind and found ~= 'none' then
      error('A key of the records is a ' .. found .. ' where a ' .. kind .. ' belongs')
    end
  end
end

expect('hash', KEYS[1], KEYS[4], KEYS[6])
expect('string', KEYS[2])
expect('zset', KEYS[3], KEYS[5], KEYS[7])

local now = present(change.nowMs)

local function next_revision(current)
  if not change.raises then return current end
  return math.max(current + 1, now * 1000)
end

-- The version of the record as it is, 0 where there is none.
local function stored_number(field)
  return tonumber(redis.call('HGET', KEYS[1], field) or '') or 0
end

local function write_audit(number)
  local entry = string.format('%016.0f', number) .. change.auditLabel
  redis.call('ZADD', KEYS[3], 0, entry)
  redis.call('HSET', KEYS[4], entry, integer(now) .. ' ' .. change.audit)
  for _ = 1, math.min(2, redis.call('ZCARD', KEYS[3]) - change.maxAuditRows) do
    redis.call('HDEL', KEYS[4], redis.call('ZPOPMIN', KEYS[3])[1])
  end
end

-- The row of an earlier change gives way; whoever has claimed it keeps it.
local function mark_key(revision)
  local rows = outbox(KEYS[5], KEYS[6])
  local row = rows.load(change.outbox.keyId) or { key_id = change.outbox.keyId }
  row.id, row.revision, row.at, row.due, row.attempts = change.outbox.id, revision, now, now, 0
  rows.save(row)
end

-- Writes the rows, tells who listens, and answers the fences of this scope that are pending, oldest first.
local function commit(revision)
  local number = redis.call('INCR', KEYS[2])
  write_audit(number)
  if change.outbox then mark_key(revision) end
  if not change.scopeId then return {} end
  if change.fence then
    local fence = { change.scopeId, string.format('%016.0f', number), integer(revision), change.fence }
    redis.call('ZADD', KEYS[7], 0, table.concat(fence, '\0'))
  end
  -- A user that may not publish changes records all the same.
  redis.pcall('PUBLISH', change.channel, integer(revision) .. ' ' .. change.scopeId)
  return redis.call('ZRANGEBYLEX', KEYS[7], '[' .. change.scopeId .. '\0', '(' .. change.scopeId .. '\1')
end
