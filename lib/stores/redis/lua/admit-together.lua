-- Admits simple first calls that came together; those under one plan all, or none of them.
--
-- KEYS[1] leases of their shard (sorted set); then of each plan the holds of its calls, and its scopes (hashes)
-- numbers: of each plan how many calls it has; of each of these minted at, tokens, cost, not after (-1: no end), lease in ms
-- ARGV[2..] of each plan itself, as JSON; its takes; then of each call what else admit-alone.lua keeps, and the id of its hold
-- Result: of each plan now, and what is left of each limit after all its calls (-1: it has none); or nothing: each of its
--   calls is to be admitted alone

local numbers_per_call = 5

-- Where the numbers, keys and texts of the next plan stand.
local number_at, key_at, text_at = 2, 2, 2
-- Those that have not come yet: a fraction of the time tells apart what came together.
local calls_left = (#numbers - 1) / numbers_per_call

local function numbers_of(call)
  local from = number_at + 1 + (call - 1) * numbers_per_call
  return unpack(numbers, from, from + numbers_per_call - 1)
end

local function admit_all(plan, count)
  local all_tokens, all_cost = 0, 0
  for call = 1, count do
    local minted_at, tokens, cost, not_after = numbers_of(call)
    if not is_timely(plan, minted_at, not_after) or plan[3] >= 0 and tokens > plan[3] then return false end
    all_tokens, all_cost = all_tokens + tokens, all_cost + cost
  end
  if redis.call('EXISTS', unpack(KEYS, key_at, key_at + count - 1)) > 0 then return false end
  local left = take_at_once(plan, key_at + count - 1, count, all_tokens, all_cost)
  if not left then return false end

  -- From the last call to the first: what is left after one is less what all later ones took.
  local fields_at = 5 + plan[4] * 2
  local lease_ends = {}
  local later, later_tokens, later_cost = 0, 0, 0
  for call = count, 1, -1 do
    local _, tokens, cost, _, lease_ms = numbers_of(call)
    local taken = { now, tokens, cost, -1, unpack(left) }
    if later > 0 then
      for index = 1, plan[5] do
        local kind = plan[fields_at + index]:sub(1, 1)
        local taken_later = kind == 't' and later_tokens or kind == 'b' and later_cost or later
        if left[index] >= 0 then taken[4 + index] = left[index] + taken_later end
      end
    end
    later, later_tokens, later_cost = later + 1, later_tokens + tokens, later_cost + cost
    local body = ARGV[text_at + 1] .. ARGV[text_at + call * 2]
    redis.call('HSET', KEYS[key_at + call - 1], 'n', '1', 'c:', pack_call(tokens, cost, 0, taken, body))
    lease_ends[call * 2 - 1] = instant + lease_ms - (calls_left - call) / 4096
    lease_ends[call * 2] = ARGV[text_at + call * 2 + 1]
  end
  redis.call('ZADD', KEYS[1], unpack(lease_ends))
  return { now, unpack(left) }
end

local answer = {}
while numbers[number_at] do
  local count, plan = numbers[number_at], cjson.decode(ARGV[text_at])
  -- What stands in the counters of one may be nonsense, which is nothing to the others.
  local is_done, taken = pcall(admit_all, plan, count)
  answer[#answer + 1] = is_done and taken
  number_at, key_at = number_at + 1 + count * numbers_per_call, key_at + count + plan[4]
  text_at, calls_left = text_at + 2 + count * 2, calls_left - count
end
return answer
