"""Attempts as the tests of live state make them, and what a store does to what is proposed."""

from __future__ import annotations

from typing import Any

from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import Breaker
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.store.live.board import Board
from steprouter.store.live.health_standing import Proposal

NOW = 1_800_000_000.0


def answered(model: str = "small", seconds: float = 0.3) -> Attempt:
    """An attempt that went well."""
    return Attempt(model=model, answer=Answer(text="Yes.", finish="stop"), first_token_seconds=seconds, seconds=1.0)


def failed(kind: FailureKind = FailureKind.UNAVAILABLE, model: str = "small", **told: Any) -> Attempt:
    """An attempt that did not."""
    return Attempt(model=model, failure=Failure(kind=kind, phase=Phase.BEFORE_FIRST_TOKEN, model=model, **told))


def made(board: Any, attempt: Attempt, now: float = NOW, *, name: str) -> bool:
    """Makes a call from its beginning to its end; what the end told. Takes a board or what holds one."""
    board.began(attempt.model, name, now)
    return bool(board.ended(name, attempt, now))


def trip(board: Any, now: float = NOW, *, name: str = "trip", model: str = "small") -> None:
    """Fails often enough to open a breaker."""
    for number in range(5):
        made(board, failed(model=model), now, name=f"{name} {number}")


def calls(breaker: Breaker) -> int:
    """How many calls its window counts."""
    return sum(bucket.calls for bucket in breaker.buckets)


class Shelf:
    """Holds records as the store does, in this process: a text is replaced only by who knows it."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.writes = 0

    def take(self, proposal: Proposal) -> bytes | bool:
        """What the store would say."""
        kept = self.texts.get(proposal.model, b"")
        if kept != proposal.old:
            return kept
        self.texts[proposal.model] = proposal.new
        self.writes += 1
        return True

    def share(self, board: Board, now: float = NOW) -> None:
        """Writes all that a board knows."""
        for _ in range(3):
            for proposal in board.proposals(now):
                board.replied(proposal, self.take(proposal), now)
        assert board.proposals(now) == []
