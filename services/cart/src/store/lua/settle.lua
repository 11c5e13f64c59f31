-- The life of a checkout as the cart sees it. An order that is over is remembered, so that a late or
-- repeated word about it changes nothing.
-- KEYS[1] the cart
-- ARGV[1] time to live, seconds   ARGV[2] mark | confirmed | cancelled   ARGV[3] order
-- Answers {outcome, field, value, ...}.
local key, action, order = KEYS[1], ARGV[2], ARGV[3]
local ORDERS_MAX = 32

local function answer(outcome)
  redis.call('EXPIRE', key, ARGV[1])
  local all = redis.call('HGETALL', key)
  table.insert(all, 1, outcome)
  return all
end

local over = redis.call('HGET', key, '_over') or ''
if string.find(over, order, 1, true) then return answer('OK') end
local current = redis.call('HGET', key, '_order')

if action == 'mark' then
  if current and current ~= order then return answer('CHECKED_OUT') end
  redis.call('HSET', key, '_status', 'CHECKED_OUT', '_order', order)
else
  -- The last ones suffice: a cart has one checkout at a time.
  redis.call('HSET', key, '_over', string.sub(order .. ' ' .. over, 1, ORDERS_MAX * (#order + 1)))
  if current == order then
    redis.call('HDEL', key, '_status', '_order')
    if action == 'confirmed' then
      for _, field in ipairs(redis.call('HKEYS', key)) do
        if string.sub(field, 1, 1) ~= '_' then redis.call('HDEL', key, field) end
      end
      redis.call('HSET', key, '_lines', 0)
    end
  end
end
redis.call('HINCRBY', key, '_version', 1)
return answer('OK')
