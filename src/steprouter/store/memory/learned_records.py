"""What a tenant's steps have taught, as Redis keeps it: a field for each part, and in it numbers, the version first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

from steprouter.memory.calibration import BINS, Calibration
from steprouter.memory.learned import Drift, Learned, Ledger, Pace
from steprouter.memory.shift import BUCKETS, Shift
from steprouter.memory.verifier import Verifier

from .query import coded
from .records import READ, Pairs, model_of, newer
from .schema import VERSION

LEDGER = "ledger"
DRIFT, VERIFIER, PACE, SHIFT, CALIBRATION = "drift:", "verifier:", "pace:", "shift:", "calibration:"
"""How the fields begin that are of a model, a kind of step, a node, and twice a kind."""


def drift_field(model: str) -> str:
    """The field of a model."""
    return DRIFT + coded(model)


def text_of(*numbers: float) -> str:
    """A part as the scripts write it."""
    return " ".join([str(VERSION), *(format(number, ".17g") for number in numbers)])


def ledger_text(one: Ledger) -> str:
    """A ledger as text."""
    return text_of(one.decisions, one.charged)


def drift_text(one: Drift) -> str:
    """A drift as text."""
    return text_of(one.statistic, one.frozen_until, one.alarms, one.at, one.aged, one.faded, one.used_at, *one.versions)


def verifier_text(one: Verifier) -> str:
    """A verifier as text."""
    return text_of(one.caught, one.missed, one.wronged, one.cleared, one.passed, one.labels)


def pace_text(one: Pace) -> str:
    """A pace as text."""
    return text_of(one.steps, one.sessions, one.used_at)


def shift_text(one: Shift) -> str:
    """A shift as text."""
    return text_of(one.ringing, one.at, *one.before, *one.recent)


def calibration_text(one: Calibration) -> str:
    """A calibration as text."""
    return text_of(one.error, one.verdicts, *one.gaps)


def read_ledger(numbers: Sequence[float]) -> Ledger:
    """A ledger from its numbers."""
    decisions, charged = numbers[:2]
    return Ledger(decisions=decisions, charged=charged)


def read_drift(numbers: Sequence[float]) -> Drift:
    """A drift from its numbers."""
    statistic, frozen_until, alarms, at, aged, faded, used_at = numbers[:7]
    return Drift(
        statistic=statistic,
        frozen_until=frozen_until,
        alarms=int(alarms),
        at=at,
        aged=aged,
        faded=faded,
        versions=tuple(int(one) for one in numbers[7:]),
        used_at=used_at,
    )


def read_verifier(numbers: Sequence[float]) -> Verifier:
    """A verifier from its numbers."""
    caught, missed, wronged, cleared, passed, labels = numbers[:6]
    return Verifier(caught=caught, missed=missed, wronged=wronged, cleared=cleared, passed=passed, labels=int(labels))


def read_pace(numbers: Sequence[float]) -> Pace:
    """A pace from its numbers."""
    steps, sessions, used_at = numbers[:3]
    return Pace(steps=steps, sessions=sessions, used_at=used_at)


def read_shift(numbers: Sequence[float]) -> Shift:
    """A shift from its numbers."""
    ringing, at, *counts = numbers[: 2 + 2 * BUCKETS]
    if len(counts) != 2 * BUCKETS:
        raise ValueError("a count is missing")
    before, recent = (tuple(map(int, half)) for half in (counts[:BUCKETS], counts[BUCKETS:]))
    return Shift(before=before, recent=recent, ringing=ringing > 0, at=at)


def read_calibration(numbers: Sequence[float]) -> Calibration:
    """A calibration from its numbers."""
    error, verdicts, *gaps = numbers[: 2 + BINS]
    if len(gaps) != BINS:
        raise ValueError("a tenth is missing")
    return Calibration(error=error, verdicts=int(verdicts), gaps=tuple(gaps))


READERS: Mapping[str, Callable[[Sequence[float]], Any]] = {
    LEDGER: read_ledger,
    DRIFT: read_drift,
    VERIFIER: read_verifier,
    PACE: read_pace,
    SHIFT: read_shift,
    CALIBRATION: read_calibration,
}
"""By how a field begins."""


@lru_cache(maxsize=READ)
def read_part(start: str, text: bytes) -> Any:
    """A part by how its field begins; None if it is newer or broken."""
    version, *words = text.split(b" ")
    if newer(version) is not None:
        return None
    try:
        numbers = [float(word) for word in words]
        return READERS[start](numbers) if all(map(isfinite, numbers)) else None
    except ValueError:
        return None


def read_learned(kept: Pairs, *, nodes: Mapping[str, str] | None = None) -> Learned:
    """What was taught, from its fields; what is newer or broken counts as not known.

    Args:
        kept: The fields.
        nodes: What the digests of nodes stand for; without it they stand for themselves.
    """
    parts: dict[str, dict[str, Any]] = {start: {} for start in READERS}
    for field, text in kept.items():
        name = field.decode("ascii", "replace")
        start, colon, whose = name.partition(":")
        start += colon
        part = read_part(start, text) if start in READERS else None
        if part is not None:
            parts[start][whose] = part
    named = {} if nodes is None else nodes
    return Learned(
        ledger=parts[LEDGER].get("", Ledger()),
        drift={model_of(code.encode()): one for code, one in parts[DRIFT].items()},
        verifiers=parts[VERIFIER],
        paces={named.get(digest, digest): one for digest, one in parts[PACE].items()},
        shifts=parts[SHIFT],
        calibrations=parts[CALIBRATION],
    )
