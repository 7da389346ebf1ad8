"""The Lua scripts of the journal, and how it lies in Redis.

A hash for each place, in which the journals of all its answers lie side by side (there is nearly always one):

    v, thread, user     version; whose it is, as digests, so that it can be forgotten
    <run>:owner         who may write; everyone else's lines come too late and are refused
    <run>:task          a digest of the task
    <run>:began         when, Unix time in seconds
    <run>:left          there once the owner has left it
    <run>:<number>      lines, from the line of this number on

One key, so that recall brings it with one command and all of it expires at once.
"""

from __future__ import annotations

from hashlib import sha1

from ..memory.pipeline import Command
from ..memory.schema import VERSION

JOURNAL_SECONDS = 600
"""How long a journal is kept after its last line: a crash is resumed within minutes, and what is older is stale."""

GRAVE_SECONDS = 60
"""How long it is remembered that an answer was given, where lines of it may still be on their way: they lie in the
buffers of a connection at most, which a server that was stopped reads when it goes on."""

OVER = "-"
"""The owner of an answer that was given."""

WRITE = f"""
-- KEYS journal; ARGV run, owner, number of the first line, lines, is left; for a new one: task, began, thread, user
local version = redis.call('HGET', KEYS[1], 'v')
if version and tonumber(version) > {VERSION} then return -1 end
local name, run = ARGV[1] .. ':owner', ARGV[1]
local owner = redis.call('HGET', KEYS[1], name)
if owner and owner ~= ARGV[2] then return 0 end
if not owner then
  if not ARGV[6] then return 0 end
  redis.call('HSET', KEYS[1], 'v', '{VERSION}', name, ARGV[2], run .. ':task', ARGV[6], run .. ':began', ARGV[7],
    'thread', ARGV[8])
  if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'user', ARGV[9]) end
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], run .. ':' .. ARGV[3], ARGV[4]) end
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], run .. ':left', '1')
else redis.call('HDEL', KEYS[1], run .. ':left') end
redis.call('EXPIRE', KEYS[1], {JOURNAL_SECONDS})
return 1
"""
"""Gives 1, or 0 where the answer was given, taken over or has expired, or -1 where a newer version wrote."""

END = f"""
-- KEYS journal; ARGV run, owner, whether lines may still be on their way
local run = ARGV[1]
local owner = redis.call('HGET', KEYS[1], run .. ':owner')
if owner and owner ~= ARGV[2] then return 0 end
if not owner and ARGV[3] ~= '1' then return 0 end
local mine, others = {{}}, false
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(name, 1, #run + 1) == run .. ':' then mine[#mine + 1] = name
  elseif string.find(name, ':', 1, true) then others = true end
end
if not others and ARGV[3] ~= '1' then return redis.call('UNLINK', KEYS[1]) end
for first = 1, #mine, 1000 do
  redis.call('HDEL', KEYS[1], unpack(mine, first, math.min(first + 999, #mine)))
end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], 'v', '{VERSION}', run .. ':owner', '{OVER}')
  if not others then redis.call('EXPIRE', KEYS[1], {GRAVE_SECONDS}) end
end
return 1
"""

CLAIM = f"""
-- KEYS journal; ARGV run, owner that was seen, new owner, task
local name = ARGV[1] .. ':owner'
local owner = redis.call('HGET', KEYS[1], name)
if not owner then return -1 end
if owner ~= ARGV[2] and owner ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], name, ARGV[3], ARGV[1] .. ':task', ARGV[4])
redis.call('HDEL', KEYS[1], ARGV[1] .. ':left')
redis.call('EXPIRE', KEYS[1], {JOURNAL_SECONDS})
return 1
"""
"""Gives 1, or 0 where another was first, or -1 where there is nothing."""

DIGESTS = {script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (WRITE, END)}

LOADING: tuple[Command, ...] = tuple(("SCRIPT", "LOAD", script) for script in DIGESTS)


def write_command(
    key: str, run: str, owner: str, number: int, lines: bytes, head: tuple[str, ...], *, is_left: bool
) -> Command:
    """What adds lines.

    Args:
        key: The journal.
        run: The answer.
        owner: Who writes.
        number: Of the first line.
        lines: As they are kept; empty adds none.
        head: Task, beginning, thread and user, as long as the store is not known to have them.
        is_left: Whether the owner leaves it with that.
    """
    return ("EVALSHA", DIGESTS[WRITE], 1, key, run, owner, str(number), lines, "1" if is_left else "", *head)


def end_command(key: str, run: str, owner: str, *, is_unsure: bool) -> Command:
    """What removes an answer that was given; remembers it where lines may still be on their way."""
    return ("EVALSHA", DIGESTS[END], 1, key, run, owner, "1" if is_unsure else "")


def claim_command(key: str, run: str, seen: str, owner: str, task: str) -> Command:
    """What takes an answer over, if nobody else has meanwhile. As text: it is too rare to be worth a second trip."""
    return ("EVAL", CLAIM, 1, key, run, seen, owner, task)
