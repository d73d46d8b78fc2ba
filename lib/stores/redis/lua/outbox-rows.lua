-- The rows of the outbox, one a key. Stands before the scripts that read or write them.
--
-- A row is a text: id, revision, time of writing, when it is due, attempts, lease, end of the lease; '-' for none. One
-- that is claimed is not due before more is asked for. Older versions wrote the first three alone, of rows that are due.
--
-- order (sorted set) has the key ids by the moment from which each may be claimed, rows (hash) the texts by key id.

local function outbox(order, rows)
  local function claimable_from(row)
    return row.lease_ends or row.due or 0
  end

  -- nil where there is none, or one that was edited into nonsense.
  local function load(key_id)
    local text = redis.call('HGET', rows, key_id)
    if not text then return nil end
    local parts = '^(%S+) (%d+) (%d+) ([%d-]+) (%d+) (%S+) ([%d-]+)'
    local id, revision, at, due, attempts, lease, lease_ends = string.match(text .. ' 0 0 - -', parts)
    if not id then return nil end
    local row = { key_id = key_id, id = id, revision = tonumber(revision), at = tonumber(at) }
    row.due, row.attempts = tonumber(due), tonumber(attempts)
    if lease ~= '-' and tonumber(lease_ends) then row.lease, row.lease_ends = lease, tonumber(lease_ends) end
    return row
  end

  local function text_of(row)
    local due = row.due and integer(row.due) or '-'
    local lease_ends = row.lease_ends and integer(row.lease_ends) or '-'
    local parts = { row.id, integer(row.revision), integer(row.at), due, integer(row.attempts), row.lease or '-', lease_ends }
    return table.concat(parts, ' ')
  end

  local function save(row)
    redis.call('ZADD', order, integer(claimable_from(row)), row.key_id)
    redis.call('HSET', rows, row.key_id, text_of(row))
  end

  local function remove(key_id)
    redis.call('ZREM', order, key_id)
    redis.call('HDEL', rows, key_id)
  end

  return { claimable_from = claimable_from, load = load, text_of = text_of, save = save, remove = remove }
end
