-- Packs a guest's lines into a parcel for the user who logs in. Lines that come later are not in it. A
-- parcel that is there already is answered again, whoever it was packed for: it is delivered first.
-- KEYS[1] the guest's cart
-- ARGV[1] time to live, seconds   ARGV[2] parcel   ARGV[3] user
-- Answers {outcome, parcel, user, SKU, line (JSON), SKU, line, ...}.
local key = KEYS[1]

if redis.call('HGET', key, '_status') == 'CHECKED_OUT' then return {'CHECKED_OUT'} end
if redis.call('HEXISTS', key, '_parcel') == 0 then
  local packed = false
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 1) ~= '_' then
      redis.call('HSET', key, '_parcel:' .. field, redis.call('HGET', key, field))
      redis.call('HDEL', key, field)
      packed = true
    end
  end
  if not packed then return {'EMPTY'} end
  redis.call('HSET', key, '_parcel', ARGV[2], '_parcel_user', ARGV[3], '_lines', 0)
  redis.call('HINCRBY', key, '_version', 1)
end
redis.call('EXPIRE', key, ARGV[1])
local answer = {'OK', redis.call('HGET', key, '_parcel'), redis.call('HGET', key, '_parcel_user')}
for _, field in ipairs(redis.call('HKEYS', key)) do
  if string.sub(field, 1, 8) == '_parcel:' then
    table.insert(answer, string.sub(field, 9))
    table.insert(answer, redis.call('HGET', key, field))
  end
end
return answer
