-- Tells other shards what became of a hold. A call that its home does not know is never let in from now on.
--
-- KEYS[1] the hold (hash)   KEYS[2] leases of its shard (sorted set)
-- ARGV[2] id of the hold   ARGV[3..] ids of calls that others have, and that cannot come later than now
-- Result: whether it is open, end of its lease ('': none), whether that is over, calls: id, how it stands
--   (o, r, s, c, a; u: never let in), tokens and cost that were charged, takes (JSON; '': not kept)

local ended_ms = 3600000
for index = 3, #ARGV do
  -- Should it be settled all the same, it was lost, and is charged then.
  if redis.call('HSETNX', KEYS[1], 'c:' .. ARGV[index], 'u') == 1 and redis.call('HSETNX', KEYS[1], 'n', 0) == 1 then
    redis.call('HSET', KEYS[1], 'l', 1)
    redis.call('PEXPIRE', KEYS[1], ended_ms)
  end
end

local values, calls = {}, {}
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do values[fields[index]] = fields[index + 1] end
for field, value in pairs(values) do
  if field:sub(1, 2) == 'c:' then
    local call, stands = field:sub(3), value:sub(1, 1)
    local left = values['d:' .. call]
    if left then
      local tokens, cost = struct.unpack('<dd', left, 2)
      calls[#calls + 1] = { call, left:sub(1, 1), tokens, cost, left:sub(18) }
    else
      local charged = stands == 'a' and struct.unpack('<d', value, 2) or 0
      calls[#calls + 1] = { call, stands == 'e' and 'c' or stands, 0, charged, '' }
    end
  end
end
local ends = redis.call('ZSCORE', KEYS[2], ARGV[2])
local is_open = (tonumber(values.n) or 0) > 0
return { is_open and 1 or 0, ends or '', ends and is_over(ends) and 1 or 0, calls }
