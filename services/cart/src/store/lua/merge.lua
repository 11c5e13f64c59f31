-- Puts the lines of a guest's cart into a user's, once for each guest session. The two carts may live
-- on different nodes, so that the guest's lines come as arguments.
-- KEYS[1] the user's cart
-- ARGV[1] time to live, seconds   ARGV[2] lines at most   ARGV[3] units of one line at most
-- ARGV[4] guest session   ARGV[5..] SKU, line (JSON), SKU, line, ...
-- Answers {outcome, field, value, ...}.
local key = KEYS[1]

local function answer(outcome)
  redis.call('EXPIRE', key, ARGV[1])
  local all = redis.call('HGETALL', key)
  table.insert(all, 1, outcome)
  return all
end

if redis.call('HGET', key, '_status') == 'CHECKED_OUT' then
  return answer('CHECKED_OUT')
end
local mark = '_merged:' .. ARGV[4]
if redis.call('HSETNX', key, mark, 1) == 0 then
  return answer('OK')
end

local lines = tonumber(redis.call('HGET', key, '_lines') or '0')
for i = 5, #ARGV, 2 do
  local sku, line = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', key, sku)
  local wanted = cjson.decode(line).quantity
  if old then
    -- The later price of the two is the guest's: it is what the buyer has just seen.
    local quantity = math.min(wanted + cjson.decode(old).quantity, tonumber(ARGV[3]))
    line = string.gsub(line, '^{"quantity":%d+', '{"quantity":' .. string.format('%d', quantity), 1)
    redis.call('HSET', key, sku, line)
  elseif lines < tonumber(ARGV[2]) then
    lines = lines + 1
    redis.call('HSET', key, sku, line)
  end
end
redis.call('HSET', key, '_lines', lines)
redis.call('HINCRBY', key, '_version', 1)
return answer('OK')
