"""The Lua scripts of the answer cache. All keys of one are of one tenant, hence of one slot.

The state of a tenant's answers is two numbers. With another epoch than its own an answer is not there. The revision
tells processes that what they hold of their own may have been removed or found wrong; it only grows. A tenant without
a state, be it new, forgotten or flushed, gets an epoch that no answer of before can have: the server's time.

They are sent whole, as a server that was restarted knows no digests; but for the one that looks, once the server has
answered it, because its text costs a step 10 µs. When that fails it is sent whole the next time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha1

from steprouter.caching.bound import MOST_MASS, SILENCED
from steprouter.caching.orders import Counted, Lookup, Observed

from ..memory.pipeline import Command
from ..memory.schema import DAY_SECONDS, VERSION, Places

TALLY_SECONDS = 90 * DAY_SECONDS
"""How long it is known of a tenant that nobody looks at what its answers were worth."""

FLOOR_SECONDS = 3600
"""How long an answer may take at most so that it is known what was removed meanwhile."""

PER_TENANT = 20_000
"""Answers of a tenant; beyond that those go that would expire first. Some 80 MB."""

TEXTS = ("metadata", "prompt", "response", "sealed")
"""The fields of an answer that say what it is; either the first three, or the last."""

STATE = f"""
local function state_of(key)
  local state = redis.call('HMGET', key, 'epoch', 'revision')
  if not state[1] then
    local time = redis.call('TIME')
    state[1] = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
    redis.call('HSET', key, 'epoch', state[1])
    redis.call('EXPIRE', key, {TALLY_SECONDS})
  end
  return state[1], state[2] or '0'
end
local function add(key, field, much)
  if tonumber(much) ~= 0 then redis.call('HINCRBYFLOAT', key, field, much) end
end
"""

# A server without memory left refuses to write: what is there is given nonetheless.
LOOK = f"""
-- KEYS answer, state, lease, pools; ARGV now, holder or '' where none is to be had, lease in ms
local state = redis.call('HMGET', KEYS[2], 'epoch', 'revision')
local epoch, revision, lease = state[1], state[2] or '0', ''
if not epoch then
  local time = redis.call('TIME')
  epoch = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.pcall('HSET', KEYS[2], 'epoch', epoch)
  redis.pcall('EXPIRE', KEYS[2], {TALLY_SECONDS})
end
local kept = redis.call('HMGET', KEYS[1], 'v', 'epoch', 'expires_at', 'refuted', '{"', '".join(TEXTS)}')
local texts = {{kept[5], kept[6], kept[7], kept[8]}}
if not (kept[1] and tonumber(kept[1]) <= {VERSION} and kept[2] == epoch
    and (tonumber(kept[3]) or 0) > tonumber(ARGV[1]) and not kept[4]) then
  texts = {{}}
  if ARGV[2] ~= '' then
    redis.pcall('SET', KEYS[3], revision .. ' ' .. ARGV[2], 'NX', 'PX', ARGV[3])
  end
  lease = redis.call('GET', KEYS[3]) or ''
end
return {{epoch, revision, lease, redis.call('HGETALL', KEYS[4]), texts}}
"""
"""Gives epoch, revision, the lease, the pools flat, and the fields of the answer or none; takes the lease where the
answer is not there, has expired or was found wrong, and nobody has it."""

KEEP = f"""
-- KEYS answer, state, lease, ids, floors…; ARGV holder, epoch, seconds, id, expires at, now; then fields
local asked, holder = string.match(redis.call('GET', KEYS[3]) or '', '^(%d+) (.*)$')
if holder ~= ARGV[1] then asked = nil end
local function given_back(result)
  if asked then redis.call('DEL', KEYS[3]) end
  return result
end
local state = redis.call('HMGET', KEYS[2], 'epoch', 'revision')
if state[1] ~= ARGV[2] then return given_back(0) end
local version = redis.call('HGET', KEYS[1], 'v')
if version and tonumber(version) > {VERSION} then return given_back(-1) end
for i = 5, #KEYS do
  local floor = redis.call('GET', KEYS[i])
  if floor and tonumber(floor) > tonumber(asked or 0) then return given_back(0) end
end
-- First of all writes the one that a server without memory left refuses: it looks only before the first.
local done = redis.pcall('ZADD', KEYS[4], ARGV[5], ARGV[4])
if type(done) == 'table' and done.err then return given_back(done) end
given_back()
local tally = redis.call('HGET', KEYS[1], 'tally')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
if tally then redis.call('HSET', KEYS[1], 'tally', tally) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[6])
local prefix = string.sub(KEYS[1], 1, #KEYS[1] - #ARGV[4])
local surplus = redis.call('ZCARD', KEYS[4]) - {PER_TENANT}
if surplus > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[4], surplus)
  for i = 1, #gone, 2 do redis.call('UNLINK', prefix .. gone[i]) end
end
redis.call('EXPIRE', KEYS[2], {TALLY_SECONDS})
redis.call('EXPIRE', KEYS[4], {TALLY_SECONDS})
return tonumber(state[2] or 0) + 1
"""
"""Gives the revision and 1, or 0 where the cache was emptied, or what the answer belongs to was removed, while it was
being got, or -1 where a newer version has written one."""

RELEASE = """
-- KEYS lease; ARGV holder
local holder = string.match(redis.call('GET', KEYS[1]) or '', '^%d+ (.*)$')
if holder ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

OBSERVE = (
    STATE
    + f"""
-- KEYS answer, state, pools; ARGV pool or '', right, wrong
local version = redis.call('HGET', KEYS[1], 'v')
if version and tonumber(version) <= {VERSION} then
  if ARGV[1] ~= '' then
    local right, wrong = string.match(redis.call('HGET', KEYS[1], 'tally') or '0 0', '^(%S+) (%S+)$')
    right, wrong = (tonumber(right) or 0) + tonumber(ARGV[2]), (tonumber(wrong) or 1) + tonumber(ARGV[3])
    redis.call('HSET', KEYS[1], 'tally', string.format('%.17g %.17g', right, wrong))
  elseif tonumber(ARGV[3]) >= {SILENCED} then redis.call('HSET', KEYS[1], 'refuted', 1) end
end
if ARGV[1] ~= '' then
  local pair = redis.call('HMGET', KEYS[3], 'r:' .. ARGV[1], 'w:' .. ARGV[1])
  local right, wrong = tonumber(pair[1] or 0) or 0, tonumber(pair[2] or 0) or 1
  local room, mass = {MOST_MASS} - ARGV[2] - ARGV[3], right + wrong
  local part = mass > room and room / mass or 1
  redis.call('HSET', KEYS[3], 'r:' .. ARGV[1], string.format('%.17g', part * right + ARGV[2]),
    'w:' .. ARGV[1], string.format('%.17g', part * wrong + ARGV[3]))
  redis.call('EXPIRE', KEYS[3], {TALLY_SECONDS})
end
if tonumber(ARGV[3]) > 0 then
  state_of(KEYS[2])
  redis.call('HINCRBY', KEYS[2], 'revision', 1)
end
return 1
"""
)

COUNT = (
    STATE
    + f"""
-- KEYS counts; ARGV fields and what is to be added
for i = 1, #ARGV, 2 do add(KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], {TALLY_SECONDS})
return 1
"""
)

EMPTY = (
    STATE
    + """
-- KEYS state, ids
local epoch = state_of(KEYS[1])
local time = redis.call('TIME')
local fresh = math.max(tonumber(epoch) + 1, time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'epoch', string.format('%d', fresh))
redis.call('HINCRBY', KEYS[1], 'revision', 1)
redis.call('DEL', KEYS[2])
return 1
"""
)
"""Nothing that was kept before is there any more. The records go by themselves, or are removed."""

FLOOR = (
    STATE
    + f"""
-- KEYS state, floors…
if #KEYS == 1 and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
state_of(KEYS[1])
local revision = redis.call('HINCRBY', KEYS[1], 'revision', 1)
for i = 2, #KEYS do redis.call('SET', KEYS[i], revision, 'EX', {FLOOR_SECONDS}) end
return revision
"""
)
"""An answer that is being got and belongs to one of the parts is not kept; what processes have at hand is looked at
again."""

REMOVE = """
-- KEYS ids, answers…; ARGV number of conditions, then field and value of each; then ids
local conditions, gone = tonumber(ARGV[1]), 0
for i = 2, #KEYS do
  local meant, is_there = true, redis.call('EXISTS', KEYS[i]) == 1
  for c = 1, conditions do
    local has = redis.call('HGET', KEYS[i], ARGV[2 * c]) or ''
    meant = meant and string.find(',' .. has .. ',', ',' .. ARGV[2 * c + 1] .. ',', 1, true)
  end
  if meant or not is_there then
    if is_there and redis.call('UNLINK', KEYS[i]) == 1 then gone = gone + 1 end
    redis.call('ZREM', KEYS[1], ARGV[2 * conditions + i])
  end
end
return gone
"""
"""Removes those of the answers that meet all conditions; how many."""


def lean(script: str) -> str:
    """A script without comments and indentation: what is sent with every look is read with every look."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))


LEAN_LOOK = lean(LOOK)


LOOK_DIGEST = sha1(LEAN_LOOK.encode(), usedforsecurity=False).hexdigest()


def look_command(
    places: Places, lookup: Lookup, now: float, lease_seconds: float, *, is_known: bool = False
) -> Command:
    """What looks for the answer to a very question; by digest where the server is known to have the script."""
    return (
        "EVALSHA" if is_known else "EVAL", LOOK_DIGEST if is_known else LEAN_LOOK, 4,
        places.answer(lookup.exact), places.cached("state"), places.filling(lookup.exact), places.cached("pools"),
        repr(now), lookup.holder if lookup.fill else "", int(1000 * lease_seconds),
    )  # fmt: skip


def release_command(places: Places, exact: str, holder: str) -> Command:
    """What gives a lease back."""
    return ("EVAL", RELEASE, 1, places.filling(exact), holder)


def observe_command(places: Places, one: Observed) -> Command:
    """What adds an observation to the tallies."""
    keys = places.answer(one.entry_id), places.cached("state"), places.cached("pools")
    return ("EVAL", OBSERVE, 3, *keys, (one.pool or "").encode("utf-8", "surrogatepass"), repr(float(one.right)),
            repr(float(one.wrong)))  # fmt: skip


def count_command(places: Places, one: Counted) -> Command:
    """What adds to the counts."""
    told = {
        "exact": one.exact,
        "semantic": one.semantic,
        "misses": one.misses,
        "saved_usd": one.saved_usd,
        "saved_seconds": one.saved_seconds,
    }
    words = [word for name, much in told.items() if much for word in (name, repr(much))]
    return ("EVAL", COUNT, 1, places.cached("counts"), *words)


def floor_command(places: Places, parts: Mapping[str, str]) -> Command:
    """What says that answers which belong to one of these parts are being removed; without any, that some were."""
    floors = [places.cached_floor(*part) for part in parts.items()]
    return ("EVAL", FLOOR, 1 + len(floors), places.cached("state"), *floors)


def remove_command(places: Places, ids: Sequence[str], conditions: Sequence[tuple[str, str]]) -> Command:
    """What removes those of the answers whose fields have these values."""
    keys = [places.cached("ids"), *map(places.answer, ids)]
    words = [word for pair in conditions for word in pair]
    return ("EVAL", REMOVE, len(keys), *keys, len(conditions), *words, *ids)
