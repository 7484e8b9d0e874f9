-- Counts one batch of a worker in one step, so that no two workers ever both take the last call of a quota.
-- ARGV, for each item: verb, how many keys, then by verb and key:
--   charge  quota, window in ms, count and remaining ms that the worker remembers of this window
--   look    window in ms
--   fail    nothing; the window is a minute
--   forgive nothing
-- Answers, for each item: 1 or 0 for "passes", then by key the count and the milliseconds until its window closes.
local at, place, answers = 1, 0, {}

local function count_of(key) return tonumber(redis.call('GET', key) or 0) end

local function standing(item, key, window)
  local left = redis.call('PTTL', key)
  item[#item + 1] = count_of(key)
  item[#item + 1] = left > 0 and left or window
end

local function add(key, window)
  if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, window) end
end

while at <= #ARGV do
  local verb, keys, item, passes = ARGV[at], tonumber(ARGV[at + 1]), {1}, true
  at = at + 2
  local first = at
  if verb == 'charge' then
    for each = 1, keys do
      local key, known, left = KEYS[place + each], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
      -- A server that has lost its memory goes on where the workers know that it stood.
      if known > 0 and left > 0 then redis.call('SET', key, known, 'PX', left, 'NX') end
      passes = passes and count_of(key) < tonumber(ARGV[at])
      at = at + 4
    end
    for each = 1, keys do
      local key, window = KEYS[place + each], ARGV[first + (each - 1) * 4 + 1]
      if passes then add(key, window) end
      standing(item, key, tonumber(window))
    end
    if not passes then item[1] = 0 end
  elseif verb == 'look' then
    for each = 1, keys do
      standing(item, KEYS[place + each], tonumber(ARGV[at]))
      at = at + 1
    end
  elseif verb == 'fail' then
    for each = 1, keys do
      add(KEYS[place + each], 60000)
      standing(item, KEYS[place + each], 60000)
    end
  else -- forgive: the pair's own failures, and as many of its address's
    local own = count_of(KEYS[place + 1])
    if own > 0 then
      redis.call('DEL', KEYS[place + 1])
      local all = math.min(own, count_of(KEYS[place + 2]))
      if all > 0 then redis.call('DECRBY', KEYS[place + 2], all) end
    end
  end
  place = place + keys
  answers[#answers + 1] = item
end
return answers
