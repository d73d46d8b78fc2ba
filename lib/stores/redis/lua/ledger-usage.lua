-- The usage record: lines in a stream, and sums by the hour. Stands before the acts that write it.
--
-- act.usage.maxEvents, act.usage.retentionMs; a line: event (JSON), and where it is summed: field, other, day, key, sums
-- usage_keys: the stream, and the set of days of all keys; a line's own keys: its sums (hash), the days of its key (set)

local max_sums_per_day = 1000

local function write_line(stream, event)
  redis.call('XADD', stream, 'MAXLEN', '~', act.usage.maxEvents, '*', 'e', event)
end

-- Beyond so many sums of one key and day, all further models are one.
local function field_of(line, sums_key)
  if redis.call('HEXISTS', sums_key, line.field) == 1 then return line.field end
  local count = redis.call('HLEN', sums_key)
  return count >= max_sums_per_day and line.other or line.field, count == 0
end

local function count_line(keys, line, sums, sign)
  local field, is_new = field_of(line, keys.sums)
  local packed = redis.call('HGET', keys.sums, field)
  local total = packed and { struct.unpack('<ddddddd', packed) } or { 0, 0, 0, 0, 0, 0, 0 }
  for index = 1, 7 do total[index] = total[index] + sign * sums[index] end
  redis.call('HSET', keys.sums, field, struct.pack('<ddddddd', unpack(total, 1, 7)))
  if not is_new then return end
  redis.call('PEXPIRE', keys.sums, act.usage.retentionMs)
  redis.call('ZADD', keys.days, line.day, line.key)
  redis.call('ZREMRANGEBYSCORE', keys.days, '-inf', math.floor((now - act.usage.retentionMs) / 86400000) - 1)
  redis.call('SADD', keys.days_of_key, line.day)
  redis.call('PEXPIRE', keys.days_of_key, act.usage.retentionMs)
end

local function append_line(keys, line)
  write_line(keys.stream, line.event)
  count_line(keys, line, line.sums, 1)
end
