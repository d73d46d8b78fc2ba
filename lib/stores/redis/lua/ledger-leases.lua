-- When leases are over. Stands after ledger-time.
--
-- Leases are a sorted set of holds by their ends.

local function is_over(lease_ends) return tonumber(lease_ends) < now + 1 end

-- The latest score of a lease that is over.
local function over_until() return '(' .. string.format('%.0f', now + 1) end
