-- Takes a token from every bucket, or from none. A bucket is one number: when it will be full again, in
-- microseconds of this server's clock, so that the gateways' clocks do not matter.
-- KEYS: the buckets. ARGV: for each bucket the time between two tokens and its size, in microseconds.
-- Answer: the time to wait, or 0, and for each bucket the time until it is full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local values = redis.call('MGET', unpack(KEYS))
local before, wait = {}, 0
for i = 1, #KEYS do
  local full = values[i] and tonumber(values[i]) or now
  if full < now then full = now end
  before[i] = full
  local over = full + tonumber(ARGV[2 * i - 1]) - now - tonumber(ARGV[2 * i])
  if over > wait then wait = over end
end
local answer = { wait }
for i = 1, #KEYS do
  local full = before[i]
  if wait == 0 then
    full = full + tonumber(ARGV[2 * i - 1])
    redis.call('SET', KEYS[i], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
  end
  answer[i + 1] = full - now
end
return answer
