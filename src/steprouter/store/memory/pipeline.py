"""One round trip of raw commands: written at once, read one reply after the other, so that what came in time counts.

A redis-py pipeline gives all replies or none, and costs more than the server does (see `docs/benchmarks.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from hiredis import pack_command

Command = tuple[str | bytes | int | float, ...]

Replies = list[Any]
"""A reply for each command that was answered in time, in order; an error reply is the exception itself."""


def packed(commands: Sequence[Command]) -> list[bytes]:
    """The commands as they are sent, by hiredis at once: redis-py's own way to it takes four times as long."""
    return [b"".join(pack_command(command) for command in commands)]  # type: ignore[arg-type] # it takes any tuple


def carry_out(client: redis.Redis, commands: Sequence[Command], replies: Replies) -> Replies:
    """Send the commands and add the replies to `replies`, where they stay if it fails half-way.

    Raises:
        redis.RedisError: The server is away, or too slow.
        OSError: The same.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command(packed(commands))  # type: ignore[no-untyped-call] # redis-py leaves it open
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
    finally:
        if len(replies) < len(commands):
            # What is still to come would answer the next caller.
            connection.disconnect()  # type: ignore[no-untyped-call] # redis-py leaves it open
        pool.release(connection)
    return replies


async def acarry_out(client: redis.asyncio.Redis, commands: Sequence[Command], replies: Replies) -> Replies:
    """As `carry_out`, without blocking the event loop."""
    pool = client.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call] # redis-py leaves it open
    try:
        await connection.send_packed_command(packed(commands))
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
    finally:
        if len(replies) < len(commands):
            await connection.disconnect(nowait=True)
        await pool.release(connection)
    return replies
