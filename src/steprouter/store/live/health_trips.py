"""The round trips of shared health: a record is replaced only while the store has what the writer knew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from steprouter.memory.recall import Missing

from ..connect import Connection
from ..memory.patient import ask
from ..memory.pipeline import Command, Replies, acarry_out, carry_out
from ..memory.schema import DAY_SECONDS
from .health_standing import Proposal

REPLACE = """
-- KEYS record; ARGV the text it must have ('' for none), the text it gets, seconds it then lives
local kept = redis.pcall('GET', KEYS[1])
-- What is there of another type is none of ours: SET replaces it.
if type(kept) ~= 'string' then kept = '' end
if kept ~= ARGV[1] then return kept end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
"""All the server does. What a record means is decided in Python only, and decided again where another was first."""

OUT_SECONDS = 30 * DAY_SECONDS
"""How long a deployment stays out that nobody uses; another is forgotten after a day."""


def command(key: str, proposal: Proposal) -> Command:
    """What asks the store to take a proposal; the script goes along, as a flushed server would not know its digest."""
    seconds = OUT_SECONDS if proposal.record.marks.out else DAY_SECONDS
    return ("EVAL", REPLACE, 1, key, proposal.old, proposal.new, seconds)


def propose_one(connection: Connection, asked: Command) -> bytes | bool | None:
    """What the store says to a proposal, within the deadline of a step; None if it says nothing."""
    replies: Replies = []
    connection.call(partial(carry_out, commands=[asked], replies=replies))
    return answer(replies[0]) if replies else None


async def apropose_one(connection: Connection, asked: Command) -> bytes | bool | None:
    """As `propose_one`, without blocking the event loop."""
    replies: Replies = []
    await connection.acall(partial(acarry_out, commands=[asked], replies=replies))
    return answer(replies[0]) if replies else None


def propose_all(connection: Connection, asked: Sequence[Command]) -> list[bytes | bool] | Missing:
    """What the store says to each proposal, off the path; or why it says nothing."""
    replies = ask(connection, asked)
    return replies if isinstance(replies, Missing) else [answer(reply) for reply in replies]


def answer(reply: Any) -> bytes | bool:
    """A reply of the script as a board takes it."""
    return bytes(reply) if isinstance(reply, bytes) else not isinstance(reply, Exception)


def read_all(connection: Connection, keys: Sequence[str]) -> list[bytes | None] | Missing:
    """The texts of records, off the path; None where none is kept."""
    replies = ask(connection, [("MGET", *keys)])
    if isinstance(replies, Missing):
        return replies
    if isinstance(replies[0], Exception):
        return Missing(reason=f"the store refused: {replies[0]}")
    return list(replies[0])
