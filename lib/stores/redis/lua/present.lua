-- The time, and whole numbers as texts. Stands before the scripts of the records.

local function integer(number)
  return string.format('%.0f', number)
end

-- In ms: a time that is given in place of the clock, or that of the server.
local function present(given)
  if given then return given end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
