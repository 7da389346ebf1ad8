"""Round trips off the path of a step, which may wait where a recall may not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from steprouter.memory.recall import Missing

from ..connect import Connection
from .pipeline import Command, Replies, carry_out

PATIENT_SECONDS = 1.0
"""A local server takes some milliseconds for the largest batch; one that needs a second is as good as away."""


def ask(connection: Connection, commands: Sequence[Command]) -> Replies | Missing:
    """The replies, refusals among them; or why there are none."""
    replies: Replies = []
    done = connection.call(partial(carry_out, commands=commands, replies=replies), deadline_seconds=PATIENT_SECONDS)
    return done if isinstance(done, Missing) else replies


def answers(connection: Connection, *commands: Command, besides: str = "\0") -> Replies | Missing:
    """As `ask`, if no command was refused; refusals that begin with `besides` do not count."""
    replies = ask(connection, commands)
    return replies if isinstance(replies, Missing) else refusal(replies, besides=besides) or replies


def refusal(replies: Iterable[Any], *, besides: str = "\0") -> Missing | None:
    """The first reply that is an error, in words; None if there is none."""
    refused = next((r for r in replies if isinstance(r, Exception) and not str(r).startswith(besides)), None)
    return None if refused is None else Missing(reason=f"the store refused: {refused}")
