"""The part of the scripts that keeps what steps teach: `steprouter.memory.learned`, written for the server.

A field of the hash is numbers, the version first, in the order of `learned_records`. What a newer version wrote is
left as it is.
"""

from __future__ import annotations

from steprouter.memory.calibration import BINS
from steprouter.memory.calibration import BLOCK as VERDICTS
from steprouter.memory.labels import Source
from steprouter.memory.learned import (
    AGED_HALF_LIVES,
    ALARM,
    FADED_HALF_LIVES,
    FROZEN_DECISIONS,
    GAMMA,
    GOOD,
    INFORMATIVE,
    MODELS,
    NODES,
    RENEWED_HALF_LIVES,
    SESSIONS_HALF_LIFE,
    SLACK,
    VERSIONS,
)
from steprouter.memory.outcomes import HALF_LIFE_LABELS
from steprouter.memory.shift import BLOCK, BUCKETS, CRITICAL, REFERENCE
from steprouter.memory.verifier import BY_SCHEMA, prior
from steprouter.step.step import StepKind

from .learned_records import CALIBRATION, DRIFT, LEDGER, PACE, SHIFT, VERIFIER, verifier_text
from .schema import VERSION

SCHEMA_KINDS = " ".join(f" {kind} " for kind in sorted(BY_SCHEMA))

LEARNED = f"""
-- The numbers of a part, with 0 for those that are missing; nil if a newer version wrote it. Also whether it is new.
local function part(learned, field, size, usual)
  local text = redis.call('HGET', learned, field)
  local n = split(text or usual or '{VERSION}')
  if (n[1] or 0) > {VERSION} then return nil end
  n[1] = {VERSION}
  for i = 2, size do n[i] = n[i] or 0 end
  return n, not text
end
-- Makes room for another field that begins so: the one goes that was unused for longest.
local function make_room(learned, start, limit, place)
  local flat, many, least, oldest = redis.call('HGETALL', learned), 0, nil, nil
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, #start) == start then
      local used = split(flat[i + 1])[place] or 0
      many = many + 1
      if not least or used < least then least, oldest = used, flat[i] end
    end
  end
  if many >= limit then redis.call('HDEL', learned, oldest) end
end
local function put_drift(learned, code, n, is_new)
  if is_new then make_room(learned, '{DRIFT}', {MODELS}, 8) end
  put(learned, '{DRIFT}' .. code, n)
end
-- Version, statistic, frozen until, alarms, at, aged, faded, used at, versions.
local function faded_of(learned, code)
  local n = part(learned, '{DRIFT}' .. code, 8)
  return n and n[7] or 0
end
local function of_version(learned, code, version, now)
  local n, is_new = part(learned, '{DRIFT}' .. code, 8)
  if not n then return end
  n[8] = math.max(n[8], now)
  local known = #n - 8
  local is_known = known == {VERSIONS}
  for i = 9, #n do is_known = is_known or n[i] == version end
  if not is_known then
    n[#n + 1] = version
    if known > 0 then
      n[2], n[5], n[6], n[7] = 0, now, {RENEWED_HALF_LIVES}, n[7] + {RENEWED_HALF_LIVES}
    end
  end
  put_drift(learned, code, n, is_new)
end
local function feed(learned, code, expected, score, now)
  local n, is_new = part(learned, '{DRIFT}' .. code, 8)
  if not n then return end
  n[2] = math.max(0, n[2] + (expected - score) - {SLACK})
  n[8] = math.max(n[8], now)
  if n[2] > {ALARM} then
    local ledger = part(learned, '{LEDGER}', 3)
    n[2], n[3], n[4] = 0, (ledger and ledger[2] or 0) + {FROZEN_DECISIONS}, n[4] + 1
    n[5], n[6], n[7] = now, {AGED_HALF_LIVES}, n[7] + {FADED_HALF_LIVES}
  end
  put_drift(learned, code, n, is_new)
end
-- Version, error, verdicts, gaps.
local function calibrate(learned, kind, expected, score)
  local n = part(learned, '{CALIBRATION}' .. kind, 3 + {BINS})
  if not n then return end
  local place = 4 + math.min(math.floor(expected * {BINS}), {BINS} - 1)
  n[place], n[3] = n[place] + (expected - score), n[3] + 1
  if n[3] >= {VERDICTS} then
    local sum = 0
    for i = 4, 3 + {BINS} do sum, n[i] = sum + math.abs(n[i]), 0 end
    n[2], n[3] = sum / n[3], 0
  end
  put(learned, '{CALIBRATION}' .. kind, n)
end
-- Version, ringing, at, texts before, recent texts.
local function text_came(learned, kind, bucket, at)
  local n = part(learned, '{SHIFT}' .. kind, 3 + 2 * {BUCKETS})
  if not n then return end
  local before, recent, old, new = 3, 3 + {BUCKETS}, 0, 0
  n[recent + 1 + bucket] = n[recent + 1 + bucket] + 1
  for i = 1, {BUCKETS} do old, new = old + n[before + i], new + n[recent + i] end
  if new >= {BLOCK} then
    local sum = 0
    for i = 1, {BUCKETS} do
      local b, r = n[before + i], n[recent + i]
      if b + r > 0 then sum = sum + (new * b - old * r) ^ 2 / (b + r) end
    end
    local rings = old > 0 and sum / (old * new) > {CRITICAL}
    local halves = old + {BLOCK} > {REFERENCE} and 2 or 1
    for i = 1, {BUCKETS} do
      if rings then n[before + i] = 0 end
      n[before + i], n[recent + i] = math.floor(n[before + i] / halves) + n[recent + i], 0
    end
    n[2] = rings and 1 or 0
    if rings then n[3] = at end
  end
  put(learned, '{SHIFT}' .. kind, n)
end
-- What an ended step teaches.
local function gain(learned, kind, at, charge, pace, begins, bucket)
  local n = part(learned, '{LEDGER}', 3)
  if n then
    n[2], n[3] = n[2] + 1, n[3] * {GAMMA} + charge
    put(learned, '{LEDGER}', n)
  end
  local is_new
  n, is_new = part(learned, pace, 4)
  if n and begins ~= '' then
    if is_new then make_room(learned, '{PACE}', {NODES}, 4) end
    if begins == '1' then
      local left = 2 ^ (-1 / {SESSIONS_HALF_LIFE})
      n[2], n[3] = n[2] * left, n[3] * left + 1
    end
    n[2], n[4] = n[2] + 1, math.max(n[4], at)
    put(learned, pace, n)
  end
  if bucket ~= '' then text_came(learned, kind, tonumber(bucket), at) end
end
-- What a label says of the checks: caught, missed, wronged, cleared.
local function marks(label, refused, again)
  if label.source == '{Source.PASSED_CHECK}' or label.source == '{Source.NO_COMPLAINT}' then return {{0, 0, 0, 0}} end
  if label.source == '{Source.FAILED_CHECK}' then
    if again then return {{0, 0, 1, 0}} end
    return {{label.weight, 0, 1 - label.weight, 0}}
  end
  local right, wrong = label.weight * label.score, label.weight * (1 - label.score)
  if refused then return {{wrong, 0, right, 0}} end
  return {{0, wrong, 0, right}}
end
local function add_marks(n, these, weight)
  for i = 1, 4 do n[i + 1] = math.max(0, n[i + 1] + weight * these[i]) end
end
-- Version, caught, missed, wronged, cleared, passed, labels. Gives the number of the answer.
local function check(learned, kind, refused, again, new, old, number)
  local usual = '{verifier_text(prior(StepKind.CHAT))}'
  if string.find('{SCHEMA_KINDS}', ' ' .. kind .. ' ', 1, true) then
    usual = '{verifier_text(prior(StepKind.TOOL_CALL))}'
  end
  local n = part(learned, '{VERIFIER}' .. kind, 7, usual)
  if not n then return number or 0 end
  if old then
    local weight = 2 ^ (-(n[7] - number) / {HALF_LIFE_LABELS})
    add_marks(n, marks(old, refused, again), -weight)
    add_marks(n, marks(new, refused, again), weight)
  else
    for i = 2, 6 do n[i] = n[i] * 2 ^ (-1 / {HALF_LIFE_LABELS}) end
    if not refused then n[6] = n[6] + 1 end
    n[7] = n[7] + 1
    number = n[7]
    add_marks(n, marks(new, refused, again), 1)
  end
  put(learned, '{VERIFIER}' .. kind, n)
  return number
end
-- Learns from a label of an outcome, in place of an old one where there is one.
local function learn(outcome, now, new, old)
  local o = redis.call('HMGET', outcome, 'learned', 'kind', 'refused', 'again', 'number_check', 'expected', 'told',
    'model')
  if not o[1] then return end
  if o[3] then
    local number = check(o[1], o[2], o[3] == '1', o[4] == '1', new, old, tonumber(o[5] or 0))
    if not old then redis.call('HSET', outcome, 'number_check', number) end
  end
  if not o[6] or new.weight < {INFORMATIVE} then return end
  local told = new.score >= {GOOD} and '1' or '0'
  if o[7] == told then return end
  feed(o[1], o[8], tonumber(o[6]), new.score, now)
  if not o[7] then calibrate(o[1], o[2], tonumber(o[6]), new.score) end
  redis.call('HSET', outcome, 'told', told)
end
"""
"""Needs `split` and `put` of the tallies."""
