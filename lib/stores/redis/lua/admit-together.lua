-- Admits simple first calls under one plan that came together, all of them or none.
--
-- KEYS[1..] the holds (hashes); then leases of their shard (sorted set), and the scopes of the plan (hashes)
-- numbers: of each call minted at, tokens, cost, not after (-1: no end), lease in ms
-- ARGV[2] the plan, as JSON   ARGV[3..] of each call what admit-alone.lua keeps of it; then of each the id of its hold
-- Result: of each call its numbers; nothing: each is to be admitted alone

local count = (#numbers - 1) / 5
local plan = cjson.decode(ARGV[2])
local all_tokens, all_cost = 0, 0
for call = 0, count - 1 do
  local minted_at, tokens, cost, not_after = unpack(numbers, call * 5 + 2, call * 5 + 5)
  if not is_timely(plan, minted_at, not_after) or plan[3] >= 0 and tokens > plan[3] then return false end
  all_tokens, all_cost = all_tokens + tokens, all_cost + cost
end
if redis.call('EXISTS', unpack(KEYS, 1, count)) > 0 then return false end
local left = take_at_once(plan, count + 1, count, all_tokens, all_cost)
if not left then return false end

-- From the last call to the first: what is left after one is less what all later ones took.
local fields_at = 5 + plan[4] * 2
local answer, lease_ends = {}, {}
local later, later_tokens, later_cost = 0, 0, 0
for call = count, 1, -1 do
  local _, tokens, cost, _, lease_ms = unpack(numbers, call * 5 - 3, call * 5 + 1)
  local taken = { now, tokens, cost, -1 }
  for index = 1, plan[5] do
    local kind = plan[fields_at + index]:sub(1, 1)
    local taken_later = kind == 't' and later_tokens or kind == 'b' and later_cost or later
    taken[4 + index] = left[index] < 0 and -1 or left[index] + taken_later
  end
  later, later_tokens, later_cost = later + 1, later_tokens + tokens, later_cost + cost
  redis.call('HSET', KEYS[call], 'n', 1, 'c:', pack_call(tokens, cost, 0, taken, ARGV[2 + call]))
  -- A fraction of the time tells those apart that came together.
  local ends = instant + lease_ms - (count - call) / 4096
  lease_ends[call * 2 - 1], lease_ends[call * 2] = ends, ARGV[2 + count + call]
  answer[call] = taken
end
redis.call('ZADD', KEYS[count + 1], unpack(lease_ends))
return answer
