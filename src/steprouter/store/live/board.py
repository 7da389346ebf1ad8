"""The live state of every deployment as one process sees it: what all share, and its own calls on top."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType

from steprouter.answering.attempt import Attempt
from steprouter.answering.balance import Latency, latency_after
from steprouter.answering.breaker import Breaker, Observation, Sign, State, admitted, due_at, sign_of
from steprouter.answering.claims import Granted, Refused
from steprouter.answering.failures import Failure, FailureKind
from steprouter.answering.health import Health
from steprouter.answering.pacing import Pace

from .health_standing import MOST_LIMITED_SECONDS, Change, Proposal, Standing

UNSAID_LIMIT_SECONDS = 1.0
"""How long a deployment is left alone that refused for too many requests and did not say how long (ours)."""

LONGEST_CALL_SECONDS = 3600.0
"""A call begun before that is taken to have been given up by a caller that never said so."""

UNPAID_SECONDS = MOST_LIMITED_SECONDS
"""How long one is left alone whose bill is not paid: that is mended without a change here, and one call finds out."""


@dataclass(slots=True)
class Flight:
    """A call, or the lease for one.

    Attributes:
        model: Of which deployment.
        since: When it began, Unix time in seconds.
        is_under_way: Whether it has begun.
        is_probe: Whether it has the lease.
    """

    model: str
    since: float
    is_under_way: bool = False
    is_probe: bool = False


@dataclass(slots=True)
class Deployment:
    """One deployment in this process; fields as of `Health`."""

    standing: Standing
    pace: Pace = field(default_factory=Pace)
    in_flight: int = 0
    latency: Latency | None = None
    health: Health | None = None

    def seen(self, now: float) -> Health:
        """The deployment as a step sees it."""
        marks = self.standing.marks
        is_believed = marks.alone_until <= now + MOST_LIMITED_SECONDS
        return Health(
            breaker=self.standing.breaker,
            out=marks.out or None,
            limited_until=marks.alone_until if is_believed else 0.0,
            pace=self.pace,
            in_flight=self.in_flight,
            latency_seconds=None if self.latency is None else self.latency.seconds_at(now),
        )

    def learn(self, attempt: Attempt, now: float) -> None:
        """Learn pace, latency and limits from an attempt that is still counted as in flight."""
        failure = attempt.failure
        if attempt.answer is not None:
            self.pace = self.pace.sped(self.in_flight, now)
        waited = attempt.first_token_seconds
        if failure is not None and failure.kind is FailureKind.TIMEOUT_FIRST_TOKEN:
            waited = attempt.seconds  # at least
        if waited is not None and not attempt.cut_short:
            self.latency = latency_after(self.latency, waited, now)
        if failure is None:
            return
        if failure.kind is FailureKind.RATE_LIMITED:
            self.pace = self.pace.slowed(self.in_flight, now)
            self.standing.limit(now + limit_seconds(failure.retry_after_seconds), now)
        elif failure.is_unpaid:
            self.standing.limit(now + UNPAID_SECONDS, now)
        elif failure.is_lasting_for_deployment:
            self.standing.say(reason(failure), now)


class Board:
    """What one process knows of its deployments. Safe in threads; does no I/O and never waits for any.

    Args:
        models: Their names; what is told of others is ignored.
    """

    def __init__(self, models: Iterable[str]) -> None:
        self.lock = Lock()
        self.writing = Lock()
        self.deployments = {model: Deployment(standing=Standing(model)) for model in models}
        self.flights: dict[str, Flight] = {}
        self.view: Mapping[str, Health] | None = None
        self.viewed_at = 0.0
        self.taken_at = 0.0

    def health(self, now: float) -> Mapping[str, Health]:
        """Every deployment, by name; the same object until something changes.

        Args:
            now: Unix time in seconds.
        """
        view = self.view
        if view is not None and self.viewed_at <= now:
            return view
        with self.lock:
            is_back = now < self.viewed_at  # a limit may be believable no longer
            for one in self.deployments.values():
                if one.health is None or is_back:
                    one.health = one.seen(now)
            seen = {name: one.health for name, one in self.deployments.items() if one.health is not None}
            self.viewed_at, self.view = now, MappingProxyType(seen)
            return self.view

    def began(self, model: str, attempt_id: str, now: float) -> None:
        """A call begins; said twice, it counts once.

        Args:
            model: Of which deployment.
            attempt_id: Names the call, unique for ever; the holder, where it is a probe.
            now: Unix time in seconds.
        """
        with self.lock:
            one, known = self.deployments.get(model), self.flights.get(attempt_id)
            if one is None or (known is not None and known.is_under_way):
                return
            is_probe = known is not None and known.is_probe
            self.flights[attempt_id] = Flight(model, now, is_under_way=True, is_probe=is_probe)
            one.in_flight += 1
            self.changed(one)

    def ended(self, attempt_id: str, attempt: Attempt, now: float) -> bool:
        """A call has ended, and its answer is checked; said twice, it counts once.

        A lease whose call never began is given back, whatever the attempt; other calls that never began are ignored.

        Returns:
            Whether others should know soon: the deployment opened, closed, refused for a time or for good, or a
            probe has ended.
        """
        observation = sign_of(attempt, attempt_id)
        with self.lock:
            flight = self.flights.pop(attempt_id, None)
            if flight is None:
                return False
            one = self.deployments[flight.model]
            standing = one.standing
            before = standing.breaker.state, standing.marks
            if flight.is_under_way:
                one.learn(attempt, now)
                one.in_flight -= 1
            else:
                observation = Observation(sign=Sign.NOTHING, holder=attempt_id)
            if flight.is_probe or observation.sign is not Sign.NOTHING:
                standing.change(Change(at=now, observation=observation, draw=draw_of(attempt_id)))
            self.changed(one)
            return flight.is_probe or before != (standing.breaker.state, standing.marks)

    def changed(self, one: Deployment) -> None:
        """What is seen of a deployment is no longer true."""
        one.health = self.view = None

    def lease(self, model: str, holder: str, now: float) -> Granted | Refused | Proposal:
        """Whether `holder` may call, or what the store has to agree to first; asked again after the store's reply.

        Args:
            model: Which deployment.
            holder: The id of the attempt.
            now: Unix time in seconds.
        """
        with self.lock:
            one = self.deployments.get(model)
            if one is None:
                return Granted()
            standing = one.standing
            if standing.leases(holder):
                if standing.record.breaker.holder == holder:
                    return Granted(is_probe=True)
            elif (refused := self.unleased(one, holder, now)) is not None:
                return refused
            return standing.propose(new_mark(), now) or Granted(is_probe=True)

    def unleased(self, one: Deployment, holder: str, now: float) -> Granted | Refused | None:
        """What somebody without the lease is told; None if it is taken with this, in this process."""
        standing = one.standing
        standing.withdraw(holder)
        admission = admitted(standing.breaker, holder, now)
        if not admission.is_probe:
            self.flights.pop(holder, None)
            return Granted() if admission.allowed else refusal(standing.model, standing.breaker)
        standing.change(Change(at=now, holder=holder))
        self.flights[holder] = Flight(standing.model, now, is_probe=True)
        self.changed(one)
        return None

    def take(self, texts: Mapping[str, bytes], now: float) -> None:
        """Take over what a recall brought.

        Args:
            texts: The records by model; those that are not kept are not in it.
            now: Unix time in seconds.
        """
        with self.lock:
            self.taken_at = now
            for model, one in self.deployments.items():
                text = texts.get(model)
                if text is None:
                    one.standing.is_newer = False
                elif one.standing.absorb(text, now, is_current=False):
                    self.changed(one)

    def proposals(self, now: float) -> list[Proposal]:
        """What the store does not have yet."""
        with self.lock:
            made = [one.standing.propose(new_mark(), now) for one in self.deployments.values()]
            return [proposal for proposal in made if proposal is not None]

    def replied(self, proposal: Proposal, reply: bytes | bool | None, now: float) -> None:
        """What the store said to a proposal.

        Args:
            proposal: What was proposed.
            reply: Whether it was taken, or the text that is there instead (empty if none); None if no reply came.
            now: Unix time in seconds.
        """
        with self.lock:
            one = self.deployments[proposal.model]
            if reply is None:
                one.standing.unanswered(proposal)
            elif reply is True:
                one.standing.accepted(proposal)
            else:
                if isinstance(reply, bytes):
                    one.standing.absorb(reply, now, is_current=True)
                one.standing.refused(proposal)
            self.changed(one)

    def sweep(self, now: float) -> None:
        """Let go of calls that nobody ended."""
        with self.lock:
            for attempt_id, flight in list(self.flights.items()):
                if not -LONGEST_CALL_SECONDS < now - flight.since < LONGEST_CALL_SECONDS:
                    del self.flights[attempt_id]
                    one = self.deployments[flight.model]
                    one.in_flight -= flight.is_under_way
                    self.changed(one)

    def keep_all(self) -> None:
        """Keep all that is known here only, where there is nobody to share it with."""
        with self.lock:
            for one in self.deployments.values():
                one.standing.keep_all()

    def readmit(self, model: str, now: float) -> None:
        """Let a deployment in again that was out, or is to be left alone."""
        with self.lock:
            one = self.deployments[model]
            one.standing.say("", now)
            self.changed(one)

    def unshared(self) -> int:
        """How many deployments are known better here than in the store."""
        with self.lock:
            return sum(one.standing.is_unshared() for one in self.deployments.values())


def limit_seconds(retry_after_seconds: float | None) -> float:
    """How long to leave a deployment alone; what is no time was not said."""
    if retry_after_seconds is None or not retry_after_seconds >= 0:
        return UNSAID_LIMIT_SECONDS
    return min(max(retry_after_seconds, UNSAID_LIMIT_SECONDS), MOST_LIMITED_SECONDS)


def reason(failure: Failure) -> str:
    """Why a deployment is out: what all tenants may read, hence none of the provider's words."""
    return " ".join(str(part)[:80] for part in (failure.kind, failure.status, failure.code) if part is not None)


def refusal(model: str, breaker: Breaker) -> Refused:
    """What is told to whom a breaker does not admit."""
    why = f"open ({breaker.why})" if breaker.state is State.OPEN else "being probed"
    return Refused(by="breaker", name=model, why=f"{model} is {why}", until=due_at(breaker) or None)


def draw_of(attempt_id: str) -> float:
    """A number from 0 to 1 that belongs to an attempt: a replay draws the same."""
    return zlib.crc32(attempt_id.encode("utf-8", "surrogatepass")) / 2**32


def new_mark() -> str:
    """A name for one write."""
    return secrets.token_hex(4)
