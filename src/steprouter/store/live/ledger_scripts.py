"""The Lua scripts of the ledger. Each does one thing whole or not at all, and a second time nothing.

They are the rules of `ledger_local`, written for the server; the tests hold both to the same results. Amounts go in
and out as text: HINCRBY adds 64-bit integers exactly, while Lua would write large ones with 14 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1

from ..memory.pipeline import Command
from ..memory.schema import DAY_SECONDS, VERSION
from .ledger_orders import Counter, Order

OPEN_SECONDS = DAY_SECONDS
"""How long it is remembered what was set aside for a call; without a settlement it stays spent."""

SETTLED_SECONDS = 3600
"""How long it is remembered that a call was settled, for whoever lost the reply. Who asks again even later is known to
have been answered, because what was not settled would still be there."""

LEASE_SECONDS = 120.0
"""How long a call that nobody renews counts as under way: so long a crash takes one from the limit."""

MINUTE = 60.0
TOLERANCE_SECONDS = 0.001
"""Times are added up in floats; what a bucket is short of by less than this, it has."""

COMMON = f"""
local function text(number) return string.format('%.17g', number) end
local function is_newer(key)
  local version = redis.call('HGET', key, 'v')
  return version and tonumber(version) > {VERSION}
end
local function any_newer()
  for i, key in ipairs(KEYS) do
    if i ~= 3 and is_newer(key) then return true end
  end
  return false
end
-- What is spent of a counter, the share this worker holds, and what the others hold.
local function look(key, worker, now)
  local found = {{usd = '0', tokens = '0', own = {{0, 0}}, others = {{0, 0}}, over = {{}}}}
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if name == 'usd' or name == 'tokens' then found[name] = value
    elseif string.sub(name, 1, 2) == 's:' then
      local usd, tokens, ends = string.match(value, '^(%d+) (%d+) (%S+)$')
      if usd and tonumber(ends) > now then
        local side = name == 's:' .. worker and found.own or found.others
        side[1], side[2] = side[1] + tonumber(usd), side[2] + tonumber(tokens)
        if name == 's:' .. worker then found.ends = ends end
      else found.over[#found.over + 1] = name end
    end
  end
  return found
end
"""

RESERVE = (
    COMMON
    + f"""
-- KEYS record, rate or record, calls or record, counters
-- ARGV now, usd, tokens, requests a minute, tokens a minute, calls at once, member, worker;
--   then for each counter: limit of usd, of tokens, seconds to keep, usd and tokens used of the worker's share
if any_newer() then return {{'newer'}} end
local now, usd, tokens, worker = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[8]
local amounts = {{tonumber(usd), tonumber(tokens)}}
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'settled' then return {{'settled'}} end
local looked, room = {{}}, {{}}
for i = 4, #KEYS do
  local at, found = 8 + 5 * (i - 4), look(KEYS[i], worker, now)
  local spent = {{tonumber(found.usd), tonumber(found.tokens)}}
  looked[i], room[i] = found, {{}}
  for unit = 1, 2 do
    local limit = tonumber(ARGV[at + unit])
    if limit then
      room[i][unit] = limit - spent[unit] - found.others[unit]
      if not state and amounts[unit] > room[i][unit] - tonumber(ARGV[at + 3 + unit]) then
        return {{'budget', text(i - 4), unit == 1 and 'usd' or 'tokens', unit == 1 and found.usd or found.tokens}}
      end
    end
  end
end
if not state then
  local full = {{}}
  local kept = redis.call('HMGET', KEYS[2], 'requests', 'tokens')
  for n, name in ipairs({{'requests', 'tokens'}}) do
    local per_minute, taken = tonumber(ARGV[3 + n]), n == 1 and 1 or amounts[2]
    if per_minute then
      full[name] = math.max(tonumber(kept[n] or 0), now) + taken * {MINUTE} / per_minute
      if full[name] - now > {MINUTE} + {TOLERANCE_SECONDS} then return {{name, text(full[name] - {MINUTE})}} end
    end
  end
  local at_once = tonumber(ARGV[6])
  if at_once then
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[1])
    if redis.call('ZCARD', KEYS[3]) >= at_once then return {{'calls', text(now)}} end
  end
  for name, at in pairs(full) do
    redis.call('HSET', KEYS[2], 'v', '{VERSION}', name, text(at))
  end
  if next(full) then redis.call('EXPIRE', KEYS[2], {int(2 * MINUTE)}) end
  if at_once then
    redis.call('ZADD', KEYS[3], text(now + {LEASE_SECONDS}), ARGV[7])
    redis.call('EXPIRE', KEYS[3], {int(2 * LEASE_SECONDS)})
  end
  redis.call('HSET', KEYS[1], 'v', '{VERSION}', 'state', 'open', 'usd', usd, 'tokens', tokens)
  redis.call('EXPIRE', KEYS[1], {OPEN_SECONDS})
end
local reply = {{'granted'}}
for i = 4, #KEYS do
  local found, at = looked[i], 8 + 5 * (i - 4)
  if not state then
    found.usd = text(redis.call('HINCRBY', KEYS[i], 'usd', usd))
    found.tokens = text(redis.call('HINCRBY', KEYS[i], 'tokens', tokens))
    redis.call('HSET', KEYS[i], 'v', '{VERSION}')
    if #found.over > 0 then redis.call('HDEL', KEYS[i], unpack(found.over)) end
    for unit = 1, 2 do
      -- What the call takes of the worker's own share is no longer held for when the store is away.
      if room[i][unit] then found.own[unit] = math.max(0, math.min(found.own[unit], room[i][unit] - amounts[unit])) end
    end
    if found.ends then
      local share = string.format('%.0f %.0f %s', found.own[1], found.own[2], found.ends)
      redis.call('HSET', KEYS[i], 's:' .. worker, share)
    end
    redis.call('EXPIRE', KEYS[i], ARGV[at + 3])
  end
  for _, word in ipairs({{found.usd, found.tokens, text(found.own[1]), text(found.own[2]), found.ends or '0'}}) do
    reply[#reply + 1] = word
  end
end
return reply
"""
)

SETTLE = (
    COMMON
    + f"""
-- KEYS as above; ARGV now, usd, tokens, requests a minute, tokens a minute, how, asked again; member;
--   then for each counter the seconds to keep it: 0 if its time is over
-- how: settle, release (as if it had never been asked) or charge (nothing was set aside)
if any_newer() then return -1 end
local now, usd, tokens, how = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[6]
local kept = redis.call('HMGET', KEYS[1], 'state', 'usd', 'tokens')
local state, held_usd, held_tokens = kept[1], kept[2] or '0', kept[3] or '0'
if state == 'settled' or (not state and ARGV[7] == '1' and how ~= 'charge') then return 0 end
if state == 'open' and usd == '' then usd = held_usd end
if state == 'open' and tokens == '' then tokens = held_tokens end
-- First, because it raises where something else lies at the key, before anything is written.
if KEYS[3] ~= KEYS[1] then redis.call('ZREM', KEYS[3], ARGV[8]) end
-- Then the mark: where a counter holds nonsense, the rest raises, and once more must not charge once more.
redis.call('HDEL', KEYS[1], 'usd', 'tokens')
redis.call('HSET', KEYS[1], 'v', '{VERSION}', 'state', 'settled')
redis.call('EXPIRE', KEYS[1], how == 'charge' and {OPEN_SECONDS} or {SETTLED_SECONDS})
if usd == '' then usd = '0' end
if tokens == '' then tokens = '0' end
for i = 4, #KEYS do
  local keep, known = tonumber(ARGV[5 + i]), redis.call('HEXISTS', KEYS[i], 'usd') == 1
  if known or keep > 0 then
    redis.call('HINCRBY', KEYS[i], 'usd', usd)
    redis.call('HINCRBY', KEYS[i], 'tokens', tokens)
    if known and state then
      if held_usd ~= '0' then redis.call('HINCRBY', KEYS[i], 'usd', '-' .. held_usd) end
      if held_tokens ~= '0' then redis.call('HINCRBY', KEYS[i], 'tokens', '-' .. held_tokens) end
    end
    redis.call('HSET', KEYS[i], 'v', '{VERSION}')
    if keep > 0 then redis.call('EXPIRE', KEYS[i], ARGV[5 + i]) end
  end
end
local kept_rates = KEYS[2] ~= KEYS[1] and redis.call('HMGET', KEYS[2], 'requests', 'tokens') or {{}}
local rates = {{
  {{name = 'requests', per_minute = tonumber(ARGV[4]), more = how == 'release' and state and -1 or 0}},
  {{name = 'tokens', per_minute = tonumber(ARGV[5]), more = tonumber(tokens) - (state and tonumber(held_tokens) or 0)}},
}}
for n, rate in ipairs(rates) do
  local full = tonumber(kept_rates[n] or nil)
  if rate.per_minute and rate.more ~= 0 and (full or rate.more > 0) then
    -- A bucket that is full by now was filled before the surplus is taken; it cannot be filled beyond.
    if rate.more > 0 then full = math.max(full or 0, now) end
    full = full + rate.more * {MINUTE} / rate.per_minute
    redis.call('HSET', KEYS[2], 'v', '{VERSION}', rate.name, text(full))
    redis.call('EXPIRE', KEYS[2], math.ceil(math.max({2 * MINUTE}, full - now + {MINUTE})))
  end
end
return 1
"""
)

SHARE = (
    COMMON
    + f"""
-- KEYS counter; ARGV now, worker, end, limit of usd, of tokens, usd and tokens used of the share, seconds to keep
-- Gives the worker its share: a hundredth of the limit, and at most a tenth of what is left. No end gives it back.
if is_newer(KEYS[1]) then return {{'0', '0'}} end
local now, found = tonumber(ARGV[1]), look(KEYS[1], ARGV[2], tonumber(ARGV[1]))
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 's:' .. ARGV[2])
  return {{'0', '0'}}
end
local share, spent = {{}}, {{tonumber(found.usd), tonumber(found.tokens)}}
for unit = 1, 2 do
  local limit, used = tonumber(ARGV[3 + unit]), tonumber(ARGV[5 + unit])
  local left = (limit or 0) - spent[unit] - found.others[unit]
  share[unit] = math.max(used, math.floor(math.min((limit or 0) / 100, left / 10)))
end
if #found.over > 0 then redis.call('HDEL', KEYS[1], unpack(found.over)) end
local own = string.format('%.0f %.0f', share[1], share[2])
redis.call('HSET', KEYS[1], 'v', '{VERSION}', 's:' .. ARGV[2], own .. ' ' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[8])
return {{text(share[1]), text(share[2])}}
"""
)


def digest_of(script: str) -> str:
    """What Redis calls a script."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


DIGESTS = {script: digest_of(script) for script in (RESERVE, SETTLE, SHARE)}

LOADING: tuple[Command, ...] = tuple(("SCRIPT", "LOAD", script) for script in DIGESTS)
"""Sent before each batch, and before a reservation that finds them forgotten by a restarted server."""

Used = Callable[[str], tuple[int, int]]
"""What this worker has used of its share of a counter: billionths of a USD, and tokens."""


def told(number: int | None) -> str:
    """A limit, or nothing for none."""
    return "" if number is None else str(number)


def reserve_command(order: Order, worker: str, used: Used, now: float) -> Command:
    """What sets aside what a call may use."""
    limits, arguments = order.limits, list[str]()
    for counter in order.counters:
        wanted = (order.limit(counter, "usd"), order.limit(counter, "tokens"))
        arguments += [*map(told, wanted), str(counter.keep_seconds), *map(str, used(counter.key))]
    return (
        "EVALSHA", DIGESTS[RESERVE], len(order.keys), *order.keys, repr(now), str(order.usd), str(order.tokens),
        told(limits.requests_per_minute), told(limits.tokens_per_minute), told(limits.concurrency), order.member,
        worker, *arguments,
    )  # fmt: skip


def settle_command(
    order: Order, how: str, usd: int | None, tokens: int | None, now: float, *, reserved_at: float, is_again: bool
) -> Command:
    """What puts right what was set aside; None leaves it as it was claimed."""
    limits, passed = order.limits, max(0.0, now - reserved_at)
    keep = [str(max(0, int(keep_of(counter, passed)))) for counter in order.counters]
    return (
        "EVALSHA", DIGESTS[SETTLE], len(order.keys), *order.keys, repr(now), told(usd), told(tokens),
        told(limits.requests_per_minute), told(limits.tokens_per_minute), how, str(int(is_again)), order.member, *keep,
    )  # fmt: skip


def keep_of(counter: Counter, passed: float) -> float:
    """For how long a counter is still kept, seconds after it was read."""
    return counter.keep_seconds if counter.ends_at is None else counter.keep_seconds - passed


def share_command(counter: Counter, worker: str, until: float | None, used: Sequence[int], now: float) -> Command:
    """What holds a share of a counter for this worker until then, or gives it back."""
    limits = [told(counter.limit(unit)) if is_stopped(counter, unit) else "" for unit in ("usd", "tokens")]
    ends = "" if until is None else repr(until)
    keep = str(counter.keep_seconds)
    return (
        "EVALSHA", DIGESTS[SHARE], 1, counter.key, repr(now), worker, ends, *limits, *map(str, used), keep,
    )  # fmt: skip


def is_stopped(counter: Counter, unit: str) -> bool:
    """Whether only a share of it may be spent while the store is away."""
    budget = counter.usd if unit == "usd" else counter.tokens
    return budget is not None and budget.on_store_loss == "stop"


def lease_command(order: Order, now: float) -> Command:
    """What says that a call is still under way."""
    return ("ZADD", order.calls, "XX", "GT", repr(now + LEASE_SECONDS), order.member)
