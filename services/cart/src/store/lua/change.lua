-- One change of one cart, atomically. The hash holds a line in each field named by a SKU, and in
-- fields that begin with "_" what is to be known of the cart as a whole.
-- KEYS[1] the cart   KEYS[2] what was asked for under an Idempotency-Key, if there is one
-- ARGV[1] time to live, seconds   ARGV[2] lines at most   ARGV[3] units of one line at most
-- ARGV[4] add | set | remove | clear   ARGV[5] SKU   ARGV[6] quantity   ARGV[7] snapshot (JSON)
-- ARGV[8] how long KEYS[2] is remembered, seconds
-- Answers {outcome, field, value, field, value, ...}.
local key, action, sku = KEYS[1], ARGV[4], ARGV[5]

local function answer(outcome)
  redis.call('EXPIRE', key, ARGV[1])
  local all = redis.call('HGETALL', key)
  table.insert(all, 1, outcome)
  return all
end

local asked = sku .. ' ' .. ARGV[6]
if KEYS[2] then
  local before = redis.call('GET', KEYS[2])
  if before then return answer(before == asked and 'REPLAYED' or 'KEY_REUSED') end
end

if redis.call('HGET', key, '_status') == 'CHECKED_OUT' then
  return answer('CHECKED_OUT')
end

local old = sku ~= '' and redis.call('HGET', key, sku)
if action == 'add' or action == 'set' then
  local quantity = tonumber(ARGV[6])
  if action == 'set' and not old then return answer('NO_LINE') end
  if action == 'add' and old then quantity = quantity + cjson.decode(old).quantity end
  if quantity > tonumber(ARGV[3]) then return answer('TOO_MANY_UNITS') end
  if not old then
    local lines = tonumber(redis.call('HGET', key, '_lines') or '0')
    if lines >= tonumber(ARGV[2]) then return answer('TOO_MANY_LINES') end
    redis.call('HINCRBY', key, '_lines', 1)
  end
  redis.call('HSET', key, sku, '{"quantity":' .. string.format('%d', quantity) .. ',"snapshot":' .. ARGV[7] .. '}')
elseif action == 'remove' then
  if not old then return answer('NO_LINE') end
  redis.call('HDEL', key, sku)
  redis.call('HINCRBY', key, '_lines', -1)
elseif action == 'clear' then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 1) ~= '_' then redis.call('HDEL', key, field) end
  end
  redis.call('HSET', key, '_lines', 0)
end
redis.call('HINCRBY', key, '_version', 1)
if KEYS[2] then redis.call('SET', KEYS[2], asked, 'EX', ARGV[8]) end
return answer('OK')
