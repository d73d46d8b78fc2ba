-- The usage record: lines in a stream, and sums by the hour. Stands before the acts that write it.
--
-- ARGV[2] the most lines that are kept   ARGV[3] for how many ms sums are kept
-- A line: event (JSON); member, of the days of all keys: its day and key; field, of the sums of its day; other, the field
--   that takes what is too much for one day; sums: requests, input, output, cache read, cache write, cost, adjusted
-- keys: stream, days of all keys, sums of the day, days of the key

local max_sums_per_day = 1000
local max_lines, retention_ms = ARGV[2], ARGV[3]

local function count_line(keys, line, sums)
  local field, is_new = line.field, false
  local packed = redis.call('HGET', keys.sums, field)
  if not packed then
    local count = redis.call('HLEN', keys.sums)
    is_new = count == 0
    -- Beyond so many sums of one key and day, all further models are one.
    if count >= max_sums_per_day then
      field = line.other
      packed = redis.call('HGET', keys.sums, field)
    end
  end
  if packed then
    local earlier = { struct.unpack('<ddddddd', packed) }
    for index = 1, 7 do earlier[index] = earlier[index] + sums[index] end
    sums = earlier
  end
  redis.call('HSET', keys.sums, field, struct.pack('<ddddddd', unpack(sums, 1, 7)))
  if not is_new then return end
  local day = line.member:match('^%d+')
  redis.call('PEXPIRE', keys.sums, retention_ms)
  redis.call('ZADD', keys.days, day, line.member)
  redis.call('ZREMRANGEBYSCORE', keys.days, '-inf', math.floor((now - retention_ms) / 86400000) - 1)
  redis.call('SADD', keys.days_of_key, day)
  redis.call('PEXPIRE', keys.days_of_key, retention_ms)
end

local function append_line(keys, line)
  redis.call('XADD', keys.stream, 'MAXLEN', '~', max_lines, '*', 'e', line.event)
  count_line(keys, line, line.sums)
end
