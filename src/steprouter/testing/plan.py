"""Which request meets which fault."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .faults import Fault, Rejection, check_count
from .request import Request

Decide = Callable[[int, Request], Fault | None]
"""From the number of a request, from 1, and the request to its fault; None leaves it to the script. It may be
asked from several threads at once."""

UNAVAILABLE = Rejection(status=503)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Decides for each request which fault is laid over its scripted reply.

    Requests count from 1 in the order in which they reached a model: of the whole provider, or of a
    `ScriptedChatModel`. Plans are joined by `|`: the first that has a fault for a request decides.

        FaultPlan.every(3, HangUp()) | FaultPlan.seeded(7, {Stall(after_chunks=2): 0.05})

    Attributes:
        decide: See `Decide`.
        faults: Every fault the plan may lay, so that models can refuse at once what they cannot play.
    """

    decide: Decide
    faults: tuple[Fault, ...]

    def __or__(self, other: FaultPlan) -> FaultPlan:
        return FaultPlan(
            decide=lambda number, request: self.decide(number, request) or other.decide(number, request),
            faults=(*self.faults, *other.faults),
        )

    @classmethod
    def every(cls, nth: int, fault: Fault) -> FaultPlan:
        """Requests `nth`, 2 × `nth`, … meet the fault.

        Raises:
            ValueError: `nth` is below 1.
        """
        check_count("nth", nth, "1 is every request", lowest=1)
        return cls(decide=lambda number, request: fault if number % nth == 0 else None, faults=(fault,))

    @classmethod
    def sequence(cls, faults: Iterable[Fault | None]) -> FaultPlan:
        """The first request meets the first of the faults, and so on; those after the last meet none."""
        lined_up = tuple(faults)
        return cls(
            decide=lambda number, request: lined_up[number - 1] if number <= len(lined_up) else None,
            faults=tuple(fault for fault in lined_up if fault is not None),
        )

    @classmethod
    def seeded(cls, seed: int, probabilities: Mapping[Fault, float]) -> FaultPlan:
        """Chance decides, the same way for the same seed and request number, in any process.

        Args:
            seed: Another seed is another run.
            probabilities: Of each fault, 0 to 1, together at most 1; the rest is no fault.

        Raises:
            ValueError: A probability is out of range, or they are more than 1 together.
        """
        odds = tuple(probabilities.items())
        for fault, probability in odds:
            if not 0 <= probability <= 1:
                raise ValueError(f"a probability must be from 0 to 1, got {probability!r} for {fault!r}; 1 is always")
        # A few units of float error are no mistake: ten times 0.1 make slightly less than 1, other sums slightly more.
        if (together := sum(probability for _, probability in odds)) > 1 + 1e-9:
            raise ValueError(f"probabilities must be 1 together at most, got {together!r}; lower some of them")

        def decide(number: int, request: Request) -> Fault | None:
            drawn = random.Random(f"{seed}/{number}").random()  # noqa: S311  # to be repeated, not to be secret
            for fault, probability in odds:
                if drawn < probability:
                    return fault
                drawn -= probability
            return None

        return cls(decide=decide, faults=tuple(probabilities))

    @classmethod
    def outage_of_requests(cls, first: int, last: int, fault: Fault = UNAVAILABLE) -> FaultPlan:
        """Requests `first` to `last`, both included, meet the fault.

        Raises:
            ValueError: `first` is below 1, or `last` before it.
        """
        check_count("first", first, "requests count from 1", lowest=1)
        check_count("last", last, "an outage ends no earlier than it begins", lowest=first)
        return cls(decide=lambda number, request: fault if first <= number <= last else None, faults=(fault,))

    @classmethod
    def outage_of_seconds(
        cls, start: float, end: float, *, clock: Callable[[], float], fault: Fault = UNAVAILABLE
    ) -> FaultPlan:
        """Requests from `start` until before `end` meet the fault.

        Args:
            start: Seconds by `clock`.
            end: Seconds by `clock`.
            clock: Gives the time, such as `FrozenClock().monotonic`.
            fault: What they meet.

        Raises:
            ValueError: `end` is not after `start`.
        """
        if not start < end:
            raise ValueError(f"end must be after start, got {start!r} to {end!r}; swap them, or leave the plan out")
        return cls(decide=lambda number, request: fault if start <= clock() < end else None, faults=(fault,))

    def only_to(self, *models: str) -> FaultPlan:
        """The same plan for requests to these models only; numbers still count all requests.

        Raises:
            ValueError: No model was named.
        """
        if not models:
            raise ValueError("only_to must name a model, got none; leave it out to reach all models")
        return FaultPlan(
            decide=lambda number, request: self.decide(number, request) if request.model in models else None,
            faults=self.faults,
        )
