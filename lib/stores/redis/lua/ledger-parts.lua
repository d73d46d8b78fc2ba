-- What holds take in shards other than their home. Stands before the acts that read it.
--
-- A hold lives in its home. What it takes elsewhere is kept there in a hash of the same kind, whose calls follow what
-- becomes of them at home (follow.lua). n is 1 until the hold has ended, then 0. What a call has of its order is 1 if it
-- was let in to take the place of the first one, else 0. Besides there are
--   h: the shard of its home   s: names of the scopes of which it took a slot, as JSON
--   t:<call>: of a call that was asked for more than once: none of those who asked takes it back
-- and in its home
--   p: the shards where it has taken, each before a space
--   d:<call>: of a call that ended, until all of them have followed: s (settled), c (cancelled), a (abandoned) or u (it
--     was never let in); then, packed, tokens and cost that were charged; then its takes in all shards, as JSON
--
-- Of the first call a part keeps the takes after its end, too: behind the e, or behind what an abandoned one was charged.

-- When those that ended a call and are to tell the others are taken for dead.
local followed_after_ms = 10000

local function name_others(others)
  local named = redis.call('HGET', KEYS[1], 'p') or ''
  for shard in others:gmatch('%d+ ') do
    if not (' ' .. named):find(' ' .. shard, 1, true) then named = named .. shard end
  end
  redis.call('HSET', KEYS[1], 'p', named)
end

-- Leaves what the others are to follow, should nobody tell them.
local function leave_to_others(others, call, how, tokens, cost, takes)
  name_others(others)
  redis.call('HSET', KEYS[1], 'd:' .. call, how .. struct.pack('<dd', tokens, cost) .. takes)
end

-- A hold that has ended is looked for until the others have followed.
local function await_others(hold_id)
  redis.call('PERSIST', KEYS[1])
  redis.call('ZADD', KEYS[2], instant + followed_after_ms, hold_id)
end
