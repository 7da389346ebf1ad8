"""The live state of deployments, followed by all processes that share a store, and by this one alone without."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from steprouter.answering.attempt import Attempt
from steprouter.answering.claims import Granted, Refused
from steprouter.answering.health import Health
from steprouter.errors import ConfigError, StoreError
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from .board import Board
from .health_standing import Proposal

if TYPE_CHECKING:
    from ..memory.pipeline import Command

log = logging.getLogger("steprouter.store")

Reply = bytes | bool | None
"""Whether the store took a proposal, or the text it has instead; None if no reply came."""

ROUNDS = 8
"""Times a write is made anew because others wrote first; what is still open then waits for the next."""

TRIES = 4
"""The same for a lease, which a step waits for: an open deployment's record hardly changes."""

REFRESH_SECONDS = 1.0
"""How old may be what others know of it before a write reads it too; with memory on, recalls bring it for nothing."""


class SharedHealth:
    """Health of every deployment, for one router. Never raises in a step; only `admit` asks the store on the path.

    Args:
        connection: The store.
        keys: Gives what names the keys; called when first needed, as it may read a file.
        settings: A digest of each deployment's settings by its name, its key included: with other settings it is
            another deployment, of which nothing is known.
    """

    def __init__(self, connection: Connection, keys: Callable[[], Keys], settings: Mapping[str, str]) -> None:
        self.connection = connection
        self.find_keys = keys
        self.settings = dict(settings)
        self.boards: dict[int, Board] = {}
        self.is_refused = False

    @property
    def board(self) -> Board:
        """This process's; what is under way in a parent is the parent's."""
        board = self.boards.get(os.getpid())
        # setdefault: of two threads that come first at once, both take the same one.
        return board if board is not None else self.boards.setdefault(os.getpid(), Board(self.settings))

    @cached_property
    def keys(self) -> dict[str, str] | None:
        """The key of each deployment's record; None where the deployment's secret can be neither read nor made."""
        try:
            keys = self.find_keys()
        except ConfigError as error:
            log.warning("the health of models is this process's only: %s", error)
            return None
        return {model: keys.deployment("health", model, digest) for model, digest in self.settings.items()}

    @property
    def is_local(self) -> bool:
        """Whether this process is alone: by choice, for want of a server, or of a secret."""
        facts = self.connection.facts
        in_memory = self.connection.target.kind == "memory" or (facts is not None and facts.place == "memory")
        return in_memory or self.keys is None

    def health(self, now: float) -> Mapping[str, Health]:
        """Every deployment as this process sees it, by name."""
        return self.board.health(now)

    def began(self, model: str, attempt_id: str, now: float) -> None:
        """A call begins; said twice, it counts once."""
        self.board.began(model, attempt_id, now)

    def ended(self, attempt_id: str, attempt: Attempt, now: float) -> bool:
        """A call has ended, and its answer is checked; whether `write` should follow soon. As of `Board.ended`."""
        is_urgent = self.board.ended(attempt_id, attempt, now)
        if is_urgent and attempt.failure is not None and attempt.failure.is_lasting_for_deployment:
            log.warning("a model refuses every call until its settings or its bill change: %s", attempt.failure)
        return is_urgent

    def admit(self, model: str, holder: str, now: float) -> Granted | Refused:
        """Whether an attempt may be made on a deployment; of all processes one at a time may probe an open one.

        Without the store this process decides for itself. Who was granted a probe and makes no call gives it back
        with `ended(holder, Attempt(model=model), now)`; otherwise others wait until it has expired.

        Args:
            model: Which deployment.
            holder: The id of the attempt, as `began` and `ended` are told it.
            now: Unix time in seconds.
        """
        with closing(self.admission(model, holder, now)) as asking:
            reply: Reply = None
            while True:
                try:
                    asked = asking.send(reply)
                except StopIteration as end:
                    return cast("Granted | Refused", end.value)
                from .health_trips import propose_one  # brings the client library

                reply = propose_one(self.connection, asked)

    async def aadmit(self, model: str, holder: str, now: float) -> Granted | Refused:
        """As `admit`, without blocking the event loop."""
        with closing(self.admission(model, holder, now)) as asking:
            reply: Reply = None
            while True:
                try:
                    asked = asking.send(reply)
                except StopIteration as end:
                    return cast("Granted | Refused", end.value)
                from .health_trips import apropose_one  # brings the client library

                reply = await apropose_one(self.connection, asked)

    def admission(self, model: str, holder: str, now: float) -> Generator[Command, Reply, Granted | Refused]:
        """As `admit`; gives what to ask the store and takes what it says."""
        board = self.board
        found: Granted | Refused | None = None
        try:
            for _ in range(TRIES):
                told = board.lease(model, holder, now)
                found = (yield from self.proposed(board, told, now)) if isinstance(told, Proposal) else told
                if found is not None:
                    return found
        finally:
            if found is None:  # outrun each time, or the caller went away
                board.ended(holder, Attempt(model=model), now)
        return Refused(by="breaker", name=model, why=f"{model} is just being written by others")

    def proposed(self, board: Board, proposal: Proposal, now: float) -> Generator[Command, Reply, Granted | None]:
        """The lease, once the store has agreed or cannot be asked; None where another was first and all is open."""
        reply: Reply = False if self.is_local else None
        try:
            if reply is None:
                from .health_trips import command  # brings the client library

                reply = yield command(self.key(proposal.model), proposal)
        finally:
            board.replied(proposal, reply, now)
        return None if isinstance(reply, bytes) else Granted(is_probe=True)

    def take(self, found: Any, now: float) -> None:
        """Take over what a recall brought: the value of its section `health`, or why there is none."""
        if isinstance(found, Mapping):
            self.board.take(found, now)

    def write(self, now: float) -> Missing | None:
        """Share what this process has seen, and read what others have if no recall did; off the path.

        Returns:
            Why some of it is not shared yet and waits, or None.
        """
        board = self.board
        with board.writing:
            board.sweep(now)
            if self.is_local:
                board.keep_all()
                return None
            return self.exchange(board, now)

    def exchange(self, board: Board, now: float) -> Missing | None:
        """Read where need be, then write until nobody else writes first."""
        if (reason := self.connection.degraded) is not None:
            return Missing(reason=reason)
        if not 0 <= now - board.taken_at < REFRESH_SECONDS and (missing := self.refresh(board, now)) is not None:
            return missing
        from .health_trips import command, propose_all  # brings the client library

        for _ in range(ROUNDS):
            proposals = board.proposals(now)
            if not proposals:
                return None
            replies = propose_all(self.connection, [command(self.key(one.model), one) for one in proposals])
            told = [None] * len(proposals) if isinstance(replies, Missing) else replies
            for proposal, reply in zip(proposals, told, strict=True):
                board.replied(proposal, reply, now)
            if isinstance(replies, Missing):
                return replies
            if self.say_refused(False in replies):
                return Missing(reason="the store refused the health of models")
        return Missing(reason="others write the health of models all the time", degraded=False)

    def say_refused(self, is_refused: bool) -> bool:
        """Say once that the store takes no health; whether it is so."""
        if is_refused and not self.is_refused:
            log.warning("the health of models is not shared: the store refuses it")
        self.is_refused = is_refused
        return is_refused

    def refresh(self, board: Board, now: float) -> Missing | None:
        """Read what others know; why it could not be read, or None."""
        from .health_trips import read_all  # brings the client library

        texts = read_all(self.connection, [self.key(model) for model in self.settings])
        if isinstance(texts, Missing):
            return texts
        board.take({model: text for model, text in zip(self.settings, texts, strict=True) if text is not None}, now)
        return None

    def readmit(self, model: str, now: float) -> None:
        """Let a deployment in again that was out, in all processes: those at work know it with their next recall.

        Raises:
            ConfigError: There is no such deployment.
            StoreError: The store is away; in this process it is in again.
        """
        if model not in self.settings:
            raise ConfigError(f"model must name one of {sorted(self.settings)!r}, got {model!r}")
        board = self.board
        missing = None if self.is_local else self.refresh(board, now)
        board.readmit(model, now)
        missing = missing or self.write(now)
        if missing is not None:
            raise StoreError(f"{model!r} is not admitted again everywhere: {missing.reason}")

    def key(self, model: str) -> str:
        """The key of a deployment's record."""
        assert self.keys is not None
        return self.keys[model]
