-- Puts a policy, or the defaults: inserts version 1, or replaces the version before.
--
-- KEYS[1..7] as in record-change.lua
-- ARGV[2]    { version, json, createdAtMs }
--
-- Result: { 'changed', revision, when it was created, pending fences } or { 'version_conflict', version }

local document = cjson.decode(ARGV[2])

local version = stored_number('version')
if version ~= document.version - 1 then return { 'version_conflict', integer(version) } end

local revision = next_revision(stored_number('revision'))
redis.call('HSET', KEYS[1], 'json', document.json, 'version', integer(document.version), 'revision', integer(revision))
redis.call('HSETNX', KEYS[1], 'createdAtMs', integer(document.createdAtMs))
return { 'changed', integer(revision), redis.call('HGET', KEYS[1], 'createdAtMs'), commit(revision) }
