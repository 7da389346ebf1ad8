"""The Lua scripts that change memory. Each does one thing whole or not at all, and a second time nothing.

They are the pure rules of `steprouter.memory` (`advance`, `count`, `replaces`) written for the server, because two
workers on one thread must not lose each other's updates; the tests hold both to the same results. Each is told
the schema version and refuses, with -1, to touch what a newer version wrote.
"""

from __future__ import annotations

from steprouter.memory.outcomes import (
    AVERAGE_LABELS,
    HALF_LIFE_LABELS,
    HALF_LIFE_SECONDS,
    OUTCOME_TTL_SECONDS,
    WITH,
    WITHOUT,
)
from steprouter.memory.session import RECENT, SESSION_TTL_SECONDS, SMOOTHING

from .learned_scripts import LEARNED
from .schema import DAY_SECONDS, VERSION

SESSION = f"""
-- KEYS session, recent; ARGV at, step, usd, errors, escalated, model, warm, warm until, input, output, seconds,
-- reference, user
local version = redis.call('HGET', KEYS[1], 'v')
if version and tonumber(version) > {VERSION} then return -1 end
if redis.call('ZADD', KEYS[2], 'NX', ARGV[1], ARGV[2]) == 0 then return 0 end
local kept = {{}}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do kept[flat[i]] = flat[i + 1] end
local at, steps = tonumber(ARGV[1]), tonumber(kept.steps or 0)
local new = {{v = '{VERSION}', steps = steps + 1}}
if at >= tonumber(kept.updated_at or 0) then
  new.updated_at, new.errors = ARGV[1], ARGV[4]
  if ARGV[6] ~= '' then new.incumbent = ARGV[6] end
end
if ARGV[3] == '' then new.unpriced = tonumber(kept.unpriced or 0) + 1
else new.spent_usd = string.format('%.17g', tonumber(kept.spent_usd or 0) + tonumber(ARGV[3])) end
if ARGV[12] ~= '' then
  new.reference_usd = string.format('%.17g', tonumber(kept.reference_usd or 0) + tonumber(ARGV[12]))
end
local escalation = tonumber(kept.escalation or 0)
if ARGV[5] == '1' then new.escalation = escalation + 1 else new.escalation = math.max(0, escalation - 1) end
local weight = {SMOOTHING}
if steps == 0 then weight = 1 end
for i, name in ipairs({{'input_tokens', 'output_tokens', 'seconds'}}) do
  local old = tonumber(kept[name] or 0)
  new[name] = string.format('%.17g', old + weight * (tonumber(ARGV[8 + i]) - old))
end
if ARGV[6] ~= '' and ARGV[7] ~= '' then
  local name = 'warm:' .. ARGV[6]
  local until_ = kept[name] and tonumber(string.match(kept[name], '[^ ]+$'))
  if not until_ or until_ <= tonumber(ARGV[8]) then new[name] = ARGV[7] end
end
if ARGV[13] ~= '' then new['user:' .. ARGV[13]] = '1' end
for name, value in pairs(new) do redis.call('HSET', KEYS[1], name, value) end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -{RECENT + 1})
redis.call('EXPIRE', KEYS[1], {SESSION_TTL_SECONDS})
redis.call('EXPIRE', KEYS[2], {SESSION_TTL_SECONDS})
return 1
"""

NUMBERS = """
local function split(text)
  local numbers = {}
  for word in string.gmatch(text or '', '[^ ]+') do numbers[#numbers + 1] = tonumber(word) end
  return numbers
end
local function put(key, field, n)
  for i = 1, #n do n[i] = string.format('%.17g', n[i]) end
  redis.call('HSET', key, field, table.concat(n, ' '))
end
"""
"""Fields of hashes that are numbers."""

TALLIES = f"""
local function tally(key, model)
  local n = split(redis.call('HGET', key, model))
  for i = 1, 11 do n[i] = n[i] or 0 end
  n[1] = math.max(n[1], {VERSION})
  return n
end
-- Counts a label, in place of an old one where there is one; gives the number it got. `faded` is by how many
-- half-lives alarms have aged the model's counts.
local function count(key, model, now, at, score, weight, old, faded)
  local n = tally(key, model)
  if n[1] > {VERSION} then return old and old.number or 0 end
  now, faded = math.max(now, n[5]), math.max(faded or 0, n[11])
  local number = n[4]
  if not old then number = number + 1 end
  local aged = (now - n[5]) / {HALF_LIFE_SECONDS} + (number - n[4]) / {HALF_LIFE_LABELS} + faded - n[11]
  local left = 2 ^ -aged
  local s, f = n[2] * left, n[3] * left
  local function add(sign, one)
    local age = math.max(0, now - at) / {HALF_LIFE_SECONDS} + (number - one.number) / {HALF_LIFE_LABELS}
    age = age + faded - one.faded
    local mass = sign * one.weight * 2 ^ -age
    s, f = s + mass * one.score, f + mass * (1 - one.score)
  end
  if old then add(-1, old) end
  local mine = old and old.number or number
  add(1, {{score = score, weight = weight, number = mine, faded = old and math.min(faded, old.faded) or faded}})
  n[2], n[3], n[4], n[5], n[11] = math.max(0, s), math.max(0, f), number, now, faded
  put(key, model, n)
  return mine
end
-- Adds what an attempt took to the averages.
local function average(key, model, taken)
  local n = tally(key, model)
  if n[1] > {VERSION} then return end
  n[6] = n[6] + 1
  local weight = math.max(1 / n[6], 1 / {AVERAGE_LABELS})
  for i = 1, 4 do
    if taken[i] then
      if n[6 + i] == 0 then n[6 + i] = taken[i] else n[6 + i] = n[6 + i] + weight * (taken[i] - n[6 + i]) end
    end
  end
  put(key, model, n)
end
local function label_of(rank, at, score, weight, source)
  return {{rank = tonumber(rank), at = tonumber(at), score = tonumber(score), weight = tonumber(weight),
    source = source, fields = {{'rank', rank, 'labelled_at', at, 'score', score, 'weight', weight, 'source', source}}}}
end
local function is_older(label, rank, at, score)
  rank, at = tonumber(rank), tonumber(at)
  if label.rank ~= rank then return label.rank < rank end
  if label.at ~= at then return label.at < at end
  return label.score >= tonumber(score)
end
-- Counts a label in the effect of lessons: for the side, and for the lesson if it was shown.
local function count_sides(outcome, effect, now, at, label, old)
  local o = redis.call('HMGET', outcome, 'lesson', 'example', 'number_side', 'number_lesson')
  local shown = o[1] == '1'
  if old then old.number = tonumber(o[3]) end
  redis.call('HSET', outcome, 'number_side',
    count(effect, shown and '{WITH}' or '{WITHOUT}', now, at, label.score, label.weight, old))
  if not shown then return end
  if old then old.number = tonumber(o[4]) end
  redis.call('HSET', outcome, 'number_lesson', count(effect, o[2], now, at, label.score, label.weight, old))
end
local function relabel(outcome, order, digest, now, label)
  local o = redis.call('HMGET', outcome, 'rank', 'labelled_at', 'score', 'weight', 'number', 'number_node',
    'at', 'model', 'counters', 'counters_node', 'effect', 'learned', 'faded', 'source')
  if is_older(label, o[1], o[2], o[3]) then return 0 end
  local at, model = tonumber(o[7]), o[8]
  local old = {{score = tonumber(o[3]), weight = tonumber(o[4]), source = o[14]}}
  local faded = o[12] and faded_of(o[12], model) or 0
  old.number, old.faded = tonumber(o[5]), tonumber(o[13] or 0)
  count(o[9], model, now, at, label.score, label.weight, old, faded)
  if o[10] then
    old.number = tonumber(o[6])
    count(o[10], model, now, at, label.score, label.weight, old, faded)
  end
  learn(outcome, now, label, old)
  old.faded = 0
  if o[11] then count_sides(outcome, o[11], now, at, label, old) end
  redis.call('HSET', outcome, unpack(label.fields))
  redis.call('ZADD', order, 'GT', now, digest)
  return 1
end
"""
"""What the two scripts of outcomes share. A tally is eleven numbers: version, successes, failures, labels, at, seen,
averages of output tokens, seconds, seconds to the first token and USD, and how far alarms have aged it."""

SHARED = NUMBERS + LEARNED + TALLIES

OUTCOME = (
    SHARED
    + f"""
-- KEYS outcome, order, counters, pending, episode or '', counters of the node or '', learned, effect if a lesson was
-- at hand
-- ARGV now, digest, output tokens, seconds, first token seconds, usd; rank, at, score, weight, source;
-- charge or '', field of the pace, whether a session begins or '', bucket or '', version or ''; then fields
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
-- A key of another type raises here, before anything is written: an outcome is kept whole or not at all.
redis.call('ZCARD', KEYS[2])
redis.call('ZCARD', KEYS[5])
for _, key in ipairs({{KEYS[3], KEYS[4], KEYS[6], KEYS[7]}}) do redis.call('HLEN', key) end
redis.call('HSET', KEYS[1], unpack(ARGV, 17))
local o = redis.call('HMGET', KEYS[1], 'model', 'at', 'kind')
local model, at, now = o[1], tonumber(o[2]), tonumber(ARGV[1])
local label = label_of(ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11])
if ARGV[16] ~= '' then of_version(KEYS[7], model, tonumber(ARGV[16]), now) end
local faded = faded_of(KEYS[7], model)
local number = count(KEYS[3], model, now, at, label.score, label.weight, nil, faded)
redis.call('HSET', KEYS[1], 'number', number, 'counters', KEYS[3], 'order', KEYS[2], 'learned', KEYS[7],
  unpack(label.fields))
if faded ~= 0 then redis.call('HSET', KEYS[1], 'faded', string.format('%.17g', faded)) end
local taken = {{tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}}
average(KEYS[3], model, taken)
if KEYS[6] ~= KEYS[3] then
  redis.call('HSET', KEYS[1], 'counters_node', KEYS[6], 'number_node',
    count(KEYS[6], model, now, at, label.score, label.weight, nil, faded))
  average(KEYS[6], model, taken)
end
if ARGV[12] ~= '' then gain(KEYS[7], o[3], at, tonumber(ARGV[12]), ARGV[13], ARGV[14], ARGV[15]) end
learn(KEYS[1], now, label)
if KEYS[8] then
  redis.call('HSET', KEYS[1], 'effect', KEYS[8])
  count_sides(KEYS[1], KEYS[8], now, at, label)
  redis.call('EXPIRE', KEYS[8], {OUTCOME_TTL_SECONDS})
end
redis.call('EXPIRE', KEYS[1], {OUTCOME_TTL_SECONDS})
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('EXPIRE', KEYS[2], {OUTCOME_TTL_SECONDS})
if KEYS[5] ~= KEYS[2] then
  redis.call('ZADD', KEYS[5], at, ARGV[2])
  redis.call('EXPIRE', KEYS[5], {DAY_SECONDS})
end
local late = redis.call('HMGET', KEYS[4], 'rank', 'labelled_at', 'score', 'weight', 'source')
if late[1] then
  relabel(KEYS[1], KEYS[2], ARGV[2], now, label_of(unpack(late)))
  redis.call('DEL', KEYS[4])
end
return 1
"""
)

LABEL = (
    SHARED
    + f"""
-- KEYS outcome, pending; ARGV now, digest; rank, at, score, weight, source
local o = redis.call('HMGET', KEYS[1], 'v', 'order')
local label = label_of(ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
if not o[1] then
  local late = redis.call('HMGET', KEYS[2], 'rank', 'labelled_at', 'score')
  if late[1] and is_older(label, late[1], late[2], late[3]) then return 0 end
  redis.call('HSET', KEYS[2], 'v', '{VERSION}', unpack(label.fields))
  redis.call('EXPIRE', KEYS[2], {DAY_SECONDS})
  return 2
end
if tonumber(o[1]) > {VERSION} then return -1 end
return relabel(KEYS[1], o[2], ARGV[2], tonumber(ARGV[1]), label)
"""
)
