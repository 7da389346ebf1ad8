"""How good the checks of answers are at a kind of step: what they refuse, and what they let pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt

from ..step.step import StepKind
from .labels import Label, Source
from .outcomes import HALF_LIFE_LABELS

BY_SCHEMA = frozenset({StepKind.TOOL_CALL, StepKind.READ_RESULT, StepKind.RECOVER, StepKind.EXTRACT, StepKind.CLASSIFY})
"""Kinds whose answers mostly have a schema to keep to: arguments of tools, or a format."""

INVALID, RIGHT_IF_VALID, RIGHT_IF_INVALID = 0.091, 0.889, 0.211
"""Calls that broke their tool's schema, and how many of either sort were right (gpt-4o-mini on BFCL, 987 calls).

P(wrong) = .909·.111 + .091·.789 = .173; of these the schema refused .091·.789 / .173 = 42 %, the detection.
P(right) = .827; of these it refused .091·.211 / .827 = 2.3 %, the false alarm."""

PRIOR_ANSWERS = 60.0
"""What that weighs where nothing is known yet: one benchmark of one model, so ten wrong answers, not a hundred."""

LEAST_DOUBT = 0.5
"""What a refusal weighs at least as a failure: of a model thought nearly perfect most refusals would be false alarms by
Bayes, and it would take too many to think otherwise. At 0.8 good models were given up for false alarms (replayed)."""

Z = 1.28
"""Bounds hold with 90 % on one side."""

UNSAID = frozenset({Source.PASSED_CHECK, Source.NO_COMPLAINT})
"""Labels that say no more than that the checks let an answer pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """How good the checks at a kind of step are, in answers that decay with every newer one.

    Attributes:
        caught: Wrong answers that the checks refused.
        missed: Wrong answers that they let pass, of those that got a label later.
        wronged: Right answers that they refused.
        cleared: Right answers that they let pass, of those that got a label later.
        passed: All answers that they let pass, labelled later or not.
        labels: How many answers were counted, undecayed.
    """

    caught: float = 0.0
    missed: float = 0.0
    wronged: float = 0.0
    cleared: float = 0.0
    passed: float = 0.0
    labels: int = 0

    def rates(self) -> tuple[float, float]:
        """Detection, P(refused | wrong), and false alarm, P(refused | right): a lower and an upper bound (90 %).

        Every refusal is known, and of what passed only what got a label: the answers that passed without one are
        taken to be as often wrong as those with one. Else checks would look the better the fewer labels there are.
        """
        wrong, right = self.let_pass
        detection = bound(self.caught, wrong, self.caught + self.missed, -Z)
        return detection, bound(self.wronged, right, self.wronged + self.cleared, Z)

    @property
    def detection(self) -> float:
        """The share of wrong answers that the checks refuse, as likely as not; `rates` are bounds of it.

        So much a passed check weighs as a success: of N answers, (1 − p)·d·N are refused and wrong, and p·d·N of those
        that pass keep the share of successes at p.
        """
        return share(self.caught, self.let_pass[0])

    @property
    def let_pass(self) -> tuple[float, float]:
        """Wrong and right answers that the checks let pass, those without a label included."""
        labelled = self.missed + self.cleared
        wrong = self.passed * self.missed / labelled if labelled else 0.0
        return wrong, self.passed - wrong

    def wrong_if_refused(self, success: float) -> float:
        """How likely an answer is wrong that the checks refused, by Bayes, and never less than `LEAST_DOUBT`.

        Checks refuse right answers too. To count every refusal as a whole failure would hold them against good models
        twice: here, and as escalations of right answers.

        Args:
            success: Probability that its model answers right, before the check.
        """
        wrong, right = self.let_pass
        caught = (1 - success) * share(self.caught, wrong)
        refused = caught + success * share(self.wronged, right)
        return max(LEAST_DOUBT, caught / refused if refused > 0 else 1 - RIGHT_IF_INVALID)


def share(part: float, rest: float) -> float:
    """A part of the whole that it makes with the rest; 0 of nothing."""
    return part / (part + rest) if part > 0 else 0.0


def bound(refused: float, passed: float, seen: float, z: float) -> float:
    """The share that was refused, z standard deviations off; `seen` is how many answers tell of it."""
    if refused <= 0:
        return 0.0
    share = refused / (refused + passed)
    return min(1.0, max(0.0, share + z * sqrt(share * (1 - share) / (seen + 1))))


@lru_cache(maxsize=64)
def prior(kind: str) -> Verifier:
    """What is thought of the checks at a kind before anything is known; (0, 0) where only words are checked."""
    if kind not in BY_SCHEMA:
        return Verifier(missed=PRIOR_ANSWERS / 5, cleared=PRIOR_ANSWERS * 4 / 5, passed=PRIOR_ANSWERS)
    refused, passed = PRIOR_ANSWERS * INVALID, PRIOR_ANSWERS * (1 - INVALID)
    return Verifier(
        caught=refused * (1 - RIGHT_IF_INVALID),
        missed=passed * (1 - RIGHT_IF_VALID),
        wronged=refused * RIGHT_IF_INVALID,
        cleared=passed * RIGHT_IF_VALID,
        passed=passed,
    )


def said(label: Label, *, refused: bool, again: bool) -> tuple[float, float, float, float]:
    """What a label says of the checks: caught, missed, wronged, cleared.

    Args:
        label: Of the answer.
        refused: Whether the checks refused it at first.
        again: Whether the answer that was given in the end was the same, so that the refusal led nowhere.
    """
    if label.source in UNSAID:
        return 0.0, 0.0, 0.0, 0.0
    if label.source is Source.FAILED_CHECK:
        return (0.0, 0.0, 1.0, 0.0) if again else (label.confidence, 0.0, 1 - label.confidence, 0.0)
    right, wrong = label.confidence * label.score, label.confidence * (1 - label.score)
    return (wrong, 0.0, right, 0.0) if refused else (0.0, wrong, 0.0, right)


def answered(verifier: Verifier, label: Label, *, refused: bool, again: bool) -> Verifier:
    """With one more answer, which is the newest; its number is `labels` then."""
    left = 2.0 ** (-1 / HALF_LIFE_LABELS)
    faded = Verifier(
        caught=verifier.caught * left,
        missed=verifier.missed * left,
        wronged=verifier.wronged * left,
        cleared=verifier.cleared * left,
        passed=verifier.passed * left + (not refused),
        labels=verifier.labels + 1,
    )
    return added(faded, said(label, refused=refused, again=again), 1.0)


def relabelled(verifier: Verifier, new: Label, old: Label, *, number: int, refused: bool, again: bool) -> Verifier:
    """With a better label of the answer that had this number."""
    weight = 2.0 ** (-(verifier.labels - number) / HALF_LIFE_LABELS)
    without = added(verifier, said(old, refused=refused, again=again), -weight)
    return added(without, said(new, refused=refused, again=again), weight)


def added(verifier: Verifier, marks: tuple[float, float, float, float], weight: float) -> Verifier:
    """With some marks more or less."""
    caught, missed, wronged, cleared = marks
    return replace(
        verifier,
        caught=max(0.0, verifier.caught + weight * caught),
        missed=max(0.0, verifier.missed + weight * missed),
        wronged=max(0.0, verifier.wronged + weight * wronged),
        cleared=max(0.0, verifier.cleared + weight * cleared),
    )
