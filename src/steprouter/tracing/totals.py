"""What steps cost and saved together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .record import Trace
from .wording import UNKNOWN, listed, money, name, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over steps; None where a part is unknown.

    Attributes:
        cost_usd: What was paid, failed attempts, unanswered steps and probes included.
        known_usd: The part of it that is known.
        reference_usd: What the answers would have cost on the reference. A step without an answer adds
            nothing, so that money burnt on it counts against us; nor does a probe.
        unpriced: Models that were called and have no known price.
    """

    cost_usd: float | None
    known_usd: float
    reference_usd: float | None
    unpriced: tuple[str, ...]

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> Totals:
        """The totals of these steps."""
        costs = [trace.cost_usd for trace in traces]
        references = [t.reference_cost_usd for t in traces if t.model is not None and t.probe_of is None]
        return cls(
            cost_usd=total(costs),
            known_usd=sum(usd for usd in costs if usd is not None),
            reference_usd=total(references) if references else None,
            unpriced=tuple(sorted({a.model for t in traces for a in t.attempts if a.cost_usd is None})),
        )

    @property
    def saved_usd(self) -> float | None:
        """The difference, with its honest sign."""
        known = self.cost_usd is not None and self.reference_usd is not None
        return self.reference_usd - self.cost_usd if known else None  # type: ignore[operator]  # known


def numbered(traces: Sequence[Trace]) -> list[tuple[int | None, Trace]]:
    """Traces with the numbers of the steps among them, from 1; a probe has none, and stands behind its step."""
    steps, probes = [t for t in traces if t.probe_of is None], {t.probe_of: t for t in traces if t.probe_of is not None}
    found: list[tuple[int | None, Trace]] = []
    for number, step in enumerate(steps, 1):
        found.append((number, step))
        if (probe := probes.pop(step.step_id, None)) is not None:
            found.append((None, probe))
    return [*((None, probe) for probe in probes.values()), *found]  # of steps that are kept no longer


def total(sums: Sequence[float | None]) -> float | None:
    """The sum; None if a part is unknown."""
    known = [usd for usd in sums if usd is not None]
    return sum(known) if len(known) == len(sums) else None


def comparison(sums: Totals, references: Sequence[str]) -> str:
    """The cost beside what the reference alone would have cost."""
    alone = f"{listed(list(references))} alone" if references else "a reference model"
    if sums.cost_usd is None:
        models = [name(model) for model in sums.unpriced]
        price = f"; the price of {listed(models)} is not known" if models else ""
        return f"cost {UNKNOWN}, at least {money(sums.known_usd)}{price}"
    saved, reference = sums.saved_usd, sums.reference_usd
    if saved is None or reference is None:
        return f"{money(sums.cost_usd)}; what {alone} would have cost is {UNKNOWN}"
    beside = f"{money(sums.cost_usd)} instead of {money(reference)} on {alone}"
    if money(abs(saved)) == "$0":
        return f"{beside}, nothing saved"
    change = percent(abs(saved), reference) if reference else money(abs(saved))
    return f"{beside}, {f'saved {change}' if saved > 0 else f'{change} more'}"
