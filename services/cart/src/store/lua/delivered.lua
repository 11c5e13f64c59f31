-- The parcel has arrived in the user's cart: the guest's forgets it.
-- KEYS[1] the guest's cart   ARGV[1] parcel
local key = KEYS[1]
if redis.call('HGET', key, '_parcel') ~= ARGV[1] then return 0 end
for _, field in ipairs(redis.call('HKEYS', key)) do
  if string.sub(field, 1, 7) == '_parcel' then redis.call('HDEL', key, field) end
end
return 1
