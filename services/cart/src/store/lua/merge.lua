-- Puts a parcel of a guest's lines into a user's cart, once. The two carts may live on different nodes, so
-- that the lines come as arguments.
-- KEYS[1] the user's cart
-- ARGV[1] time to live, seconds   ARGV[2] lines at most   ARGV[3] units of one line at most
-- ARGV[4] parcel   ARGV[5..] SKU, line (JSON), SKU, line, ...
-- Answers {outcome, SKUs that did not fit (separated by commas), field, value, ...}.
local key = KEYS[1]
local PARCELS_MAX = 32

local function answer(outcome, left_out)
  redis.call('EXPIRE', key, ARGV[1])
  local all = redis.call('HGETALL', key)
  table.insert(all, 1, outcome)
  table.insert(all, 2, table.concat(left_out, ','))
  return all
end

if redis.call('HGET', key, '_status') == 'CHECKED_OUT' then return answer('CHECKED_OUT', {}) end
local parcels = redis.call('HGET', key, '_merged') or ''
if string.find(parcels, ARGV[4], 1, true) then return answer('OK', {}) end

local lines = tonumber(redis.call('HGET', key, '_lines') or '0')
local left_out = {}
for i = 5, #ARGV, 2 do
  local sku, line = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', key, sku)
  if old then
    -- The later price of the two is the guest's: it is what the buyer has just seen.
    local wanted = cjson.decode(line).quantity + cjson.decode(old).quantity
    local quantity = math.min(wanted, tonumber(ARGV[3]))
    if quantity < wanted then table.insert(left_out, sku) end
    line = string.gsub(line, '^{"quantity":%d+', '{"quantity":' .. string.format('%d', quantity), 1)
    redis.call('HSET', key, sku, line)
  elseif lines < tonumber(ARGV[2]) then
    lines = lines + 1
    redis.call('HSET', key, sku, line)
  else
    table.insert(left_out, sku)
  end
end
-- The oldest is forgotten: its guest's cart is long gone.
parcels = string.sub(ARGV[4] .. ' ' .. parcels, 1, PARCELS_MAX * (#ARGV[4] + 1))
redis.call('HSET', key, '_lines', lines, '_merged', parcels)
redis.call('HINCRBY', key, '_version', 1)
return answer('OK', left_out)
