-- Gives lines the prices of today, unless they were changed since they were read.
-- KEYS[1] the cart
-- ARGV[1] time to live, seconds   ARGV[2..] SKU, amount and currency that were read, snapshot (JSON), ...
-- Answers {outcome, field, value, ...}.
local key = KEYS[1]
local changed = false

if redis.call('HGET', key, '_status') ~= 'CHECKED_OUT' then
  for i = 2, #ARGV, 4 do
    local old = redis.call('HGET', key, ARGV[i])
    if old then
      local line = cjson.decode(old)
      local price = line.snapshot.unit_price
      if string.format('%d', price.amount_minor) == ARGV[i + 1] and price.currency == ARGV[i + 2] then
        redis.call('HSET', key, ARGV[i],
          '{"quantity":' .. string.format('%d', line.quantity) .. ',"snapshot":' .. ARGV[i + 3] .. '}')
        changed = true
      end
    end
  end
end
if changed then redis.call('HINCRBY', key, '_version', 1) end
redis.call('EXPIRE', key, ARGV[1])
local all = redis.call('HGETALL', key)
table.insert(all, 1, 'OK')
return all
