-- The numbers of an act of the ledger, and its time. Stands before the acts.
--
-- ARGV[1] the numbers of the act, as JSON. The first one is the time in ms; 0: that of Redis.

local numbers = cjson.decode(ARGV[1])

-- With a fraction, so that what comes in one millisecond has its order.
local instant = numbers[1]
if instant == 0 then
  local time = redis.call('TIME')
  instant = time[1] * 1000 + time[2] / 1000
end
local now = math.floor(instant)

-- Steps of the clock that were noticed: position of a scope, field of a window.
local jumps = {}
