"""What a tenant's steps have taught besides counts of success.

How much was risked, which models got worse, how good the checks are, how long sessions go on, and whether texts have
become of another sort. Values and rules only; in Redis it is one hash of a tenant, changed by scripts that do the same
arithmetic.

What is exact: a step and a label count once however often they are written; decisions, paces and verifiers come out
the same in any order, up to rounding; an alarm reaches every tally of its model. What is not: the ledger's charges
fade in the order in which steps are written, not in which they were decided; where blocks of texts end depends on it
too; an alarm is not taken back when a better label says otherwise; two first steps of one session that run side by
side begin two sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from .calibration import Calibration
from .labels import Label, Source
from .outcomes import Counters, Remembered
from .shift import Shift
from .verifier import Verifier, answered, prior, relabelled

__all__ = ["Calibration", "Drift", "Gain", "Learned", "Ledger", "Noted", "Pace", "Shift", "Verifier"]

GAMMA = 0.998
"""What is left of the charges after each decision: the ledger looks at the last 500 or so."""

SLACK, ALARM = 0.08, 5.0
"""Of the Page–Hinkley test: shortfall that is no drift, and the sum of what is beyond it that is. At 8 a model that
lost 40 % of its right answers was used half as long again (benchmarks/replay.py); at 4 good ones ring too often."""

AGED_HALF_LIVES = 3.0
"""How much older an alarm makes the neighbours of its model: they weigh an eighth."""

FADED_HALF_LIVES = 4.0
"""By an alarm a model's counts fall to a sixteenth: at 15 % its past still hid what it had become (replayed)."""

RENEWED_HALF_LIVES = 1.0
"""By a new version of a model they fall to half: most often it is as good as the last one."""

FROZEN_DECISIONS = 60
"""Decisions of its tenant for which a model that rang is not used unproven; probes may prove it meanwhile."""

INFORMATIVE = 0.3
"""Confidence from which a label tells of drift; that nobody complained does not."""

GOOD = 0.5
"""Scores from this on are the same verdict."""

USUAL_STEPS, USUAL_SESSIONS = 8.0, 2.0
"""How long sessions are where nothing is known, and how many of them that weighs. Sessions of tau2 have 11 to 19."""

SESSIONS_HALF_LIFE = 100.0
"""Newer sessions at a node after which one counts half."""

SHIFTED = 0.25
"""Trust in predictors while texts are of a new sort: one of strength 24 then weighs as a tier's guess does (6)."""

MODELS = NODES = 64
"""Models and nodes of a tenant that are kept, those used last: the hash stays below 20 kB."""

VERSIONS = 8
"""Versions of a model that are known again, since deployments of two may answer in turns. A ninth is no change: names
that never stop changing name something else."""


class Dated(Protocol):
    """What is kept as long as it is used."""

    @property
    def used_at(self) -> float:
        """Unix time in seconds."""
        ...


D = TypeVar("D", bound=Dated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a tenant has risked on choices that were not proven yet.

    Attributes:
        decisions: Steps that were answered, undecayed.
        charged: Expected shortfall below the reference of the unproven choices among them, in steps; decayed.
    """

    decisions: float = 0.0
    charged: float = 0.0

    def after(self, charge: float) -> Ledger:
        """With one more decision, charged with its expected shortfall; 0 for a proven choice."""
        return Ledger(decisions=self.decisions + 1, charged=self.charged * GAMMA + charge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Whether a model does worse than was expected of it, by the Page–Hinkley test.

    Attributes:
        statistic: Shortfall in excess of the slack so far, in answers; it rings above `ALARM`.
        frozen_until: In the ledger's decisions; before, the model is not used unproven.
        alarms: How often it rang.
        at: When it rang last or another version of the model came, Unix time in seconds; what is older counts less.
        aged: By how many half-lives that made older neighbours older.
        faded: By how many half-lives all alarms and versions together have aged the model's counts.
        versions: Digests of the versions that have answered, the newest last.
        used_at: When it was last told of an answer, Unix time in seconds.
    """

    statistic: float = 0.0
    frozen_until: float = 0.0
    alarms: int = 0
    at: float = 0.0
    aged: float = 0.0
    faded: float = 0.0
    versions: tuple[int, ...] = ()
    used_at: float = 0.0

    def fed(self, expected: float, score: float, *, decisions: float, now: float) -> Drift:
        """Told how an answer fared of which a success with probability `expected` was expected."""
        statistic = max(0.0, self.statistic + (expected - score) - SLACK)
        used_at = max(self.used_at, now)
        if statistic <= ALARM:
            return replace(self, statistic=statistic, used_at=used_at)
        return replace(
            self,
            statistic=0.0,
            frozen_until=decisions + FROZEN_DECISIONS,
            alarms=self.alarms + 1,
            at=now,
            aged=AGED_HALF_LIVES,
            faded=self.faded + FADED_HALF_LIVES,
            used_at=used_at,
        )

    def of_version(self, version: int, now: float) -> Drift:
        """Told which version of the model has answered; a new one begins anew with half of the past."""
        used_at = max(self.used_at, now)
        if version in self.versions or len(self.versions) == VERSIONS:
            return replace(self, used_at=used_at)
        versions = (*self.versions, version)
        if not self.versions:
            return replace(self, versions=versions, used_at=used_at)
        return replace(
            self,
            statistic=0.0,
            at=now,
            aged=RENEWED_HALF_LIVES,
            faded=self.faded + RENEWED_HALF_LIVES,
            versions=versions,
            used_at=used_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many steps sessions have at a node, decayed with every newer session.

    Attributes:
        steps: Steps at the node.
        sessions: Sessions they belong to.
        used_at: When the newest step started, Unix time in seconds.
    """

    steps: float = 0.0
    sessions: float = 0.0
    used_at: float = 0.0

    def after(self, at: float, *, begins: bool) -> Pace:
        """With one more step; `begins` says that it is its session's first there."""
        left = 2.0 ** (-1 / SESSIONS_HALF_LIFE) if begins else 1.0
        used_at = max(self.used_at, at)
        return Pace(steps=self.steps * left + 1, sessions=self.sessions * left + begins, used_at=used_at)

    @property
    def mean(self) -> float:
        """Steps of a session, with the usual ones for the first few; at least 1."""
        return max(1.0, (self.steps + USUAL_STEPS * USUAL_SESSIONS) / (self.sessions + USUAL_SESSIONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What an ended step teaches that was answered.

    Attributes:
        kind: What the step was.
        charge: The shortfall that was expected of an unproven choice, in steps; 0 for a proven one.
        node: The graph node that called, if any.
        begins: Whether it was its session's first step there; None outside a session, or if that is not known.
        bucket: What its text is about (`bucket_of`); None if it was not embedded, or resembles others of its session.
        at: When it started, Unix time in seconds.
    """

    kind: str
    charge: float = 0.0
    node: str | None = None
    begins: bool | None = None
    bucket: int | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What was learnt from an outcome, so that a better label can take the place of the last.

    Attributes:
        number: How many answers of its kind had been counted with it.
        refused: Whether the checks refused it at first.
        told: Which verdict its model's drift was told; None if none yet.
    """

    number: int
    refused: bool
    told: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a tenant's steps have taught besides counts. What is not in a mapping is not known yet.

    Attributes:
        ledger: What was risked on unproven choices.
        drift: By model.
        verifiers: By kind of step.
        paces: By node; under "" the steps outside nodes.
        shifts: By kind of step.
        calibrations: By kind of step.
    """

    ledger: Ledger = field(default_factory=Ledger)
    drift: Mapping[str, Drift] = field(default_factory=dict)
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    paces: Mapping[str, Pace] = field(default_factory=dict)
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def remaining_steps(self, node: str | None, done: int) -> float:
        """Steps that a session will still have at a node, this one included; at least 1.

        Args:
            node: The graph node.
            done: Steps it has had there before.

        What is left of the mean, but half of the mean at least: sessions that outlast it go on for long. In 805
        sessions of tau and tau2 that is off by 3.4 to 17 steps (root mean square); the mean itself by 6.3 to 17,
        what is left of it by 3.5 to 19.
        """
        mean = self.paces.get(node or "", Pace()).mean
        return max(1.0, mean / 2, mean - done)

    def is_frozen(self, model: str) -> bool:
        """Whether a model did so much worse than expected of late that it is not used unproven."""
        drift = self.drift.get(model)
        return drift is not None and self.ledger.decisions < drift.frozen_until

    def frozen_since(self, at: float) -> tuple[str, ...]:
        """The frozen models that rang after `at`, Unix time in seconds: what a thread has not been told yet."""
        return tuple(sorted(model for model, drift in self.drift.items() if drift.at > at and self.is_frozen(model)))

    @property
    def aged(self) -> Mapping[str, tuple[float, float]]:
        """Before when the neighbours of models that changed count as older, and by how many half-lives.

        Of several changes only the last one counts, which is enough where time fades them too.
        """
        return {model: (drift.at, drift.aged) for model, drift in self.drift.items() if drift.at > 0}

    def weight(self, kind: str) -> float:
        """How far predictors that were trained before may be trusted at a kind of step, above 0 to 1."""
        shift = self.shifts.get(kind)
        is_new = shift is not None and shift.ringing
        return SHIFTED if is_new or self.is_off(kind) else 1.0

    def is_off(self, kind: str) -> bool:
        """Whether chances at a kind of step were so far off of late that only what was counted is believed."""
        calibration = self.calibrations.get(kind)
        return calibration is not None and calibration.is_off

    def verifier(self, kind: str) -> Verifier:
        """How good the checks are at a kind of step, by what is thought beforehand where nothing is known."""
        return self.verifiers.get(kind) or prior(kind)

    def faded(self, model: str) -> float:
        """By how many half-lives a model's counts have aged besides time; see `Drift.faded`."""
        drift = self.drift.get(model)
        return 0.0 if drift is None else drift.faded

    def counted(self, counters: Counters) -> Counters:
        """Counters as they weigh after all alarms; the store ages a tally only when it next counts there."""
        return Counters(
            kind={model: tally.faded_to(self.faded(model)) for model, tally in counters.kind.items()},
            node={model: tally.faded_to(self.faded(model)) for model, tally in counters.node.items()},
        )

    def caught_up(self, charges: tuple[float, ...]) -> Learned:
        """With decisions that the store may not have yet; what else they teach may come a moment later."""
        charged = self.ledger.charged
        for charge in charges:
            charged = charged * GAMMA + charge
        return replace(self, ledger=Ledger(decisions=self.ledger.decisions + len(charges), charged=charged))

    def joined(self, newer: Learned) -> Learned:
        """With what is known newer of some of it."""
        return Learned(
            ledger=newer.ledger,
            drift=used_last({**self.drift, **newer.drift}, MODELS),
            verifiers={**self.verifiers, **newer.verifiers},
            paces=used_last({**self.paces, **newer.paces}, NODES),
            shifts={**self.shifts, **newer.shifts},
            calibrations={**self.calibrations, **newer.calibrations},
        )


def used_last(known: Mapping[str, D], limit: int) -> Mapping[str, D]:
    """The entries that were used last, as many as may be kept."""
    if len(known) <= limit:
        return known
    newest = sorted(known.items(), key=lambda item: item[1].used_at, reverse=True)
    return dict(newest[:limit])


def of_version(learned: Learned, model: str, version: int | None, now: float) -> Learned:
    """Told which version of a model has answered; before the answer is counted."""
    if version is None:
        return learned
    drift = learned.drift.get(model, Drift()).of_version(version, now)
    return replace(learned, drift=used_last({**learned.drift, model: drift}, MODELS))


def gained(learned: Learned, gain: Gain) -> Learned:
    """With what an ended step teaches."""
    learned = replace(learned, ledger=learned.ledger.after(gain.charge))
    if gain.begins is not None:
        node = gain.node or ""
        pace = learned.paces.get(node, Pace()).after(gain.at, begins=gain.begins)
        learned = replace(learned, paces=used_last({**learned.paces, node: pace}, NODES))
    if gain.bucket is not None:
        shift = learned.shifts.get(gain.kind, Shift()).after(gain.bucket, gain.at)
        learned = replace(learned, shifts={**learned.shifts, gain.kind: shift})
    return learned


def noted(learned: Learned, outcome: Remembered, now: float) -> tuple[Learned, Noted]:
    """With what became of an attempt, as its first label says; after it was counted."""
    refused = outcome.label.source is Source.FAILED_CHECK
    verifier = answered(learned.verifier(outcome.kind), outcome.label, refused=refused, again=outcome.again)
    learned = replace(learned, verifiers={**learned.verifiers, outcome.kind: verifier})
    return told(learned, outcome, outcome.label, Noted(number=verifier.labels, refused=refused), now)


def corrected(learned: Learned, outcome: Remembered, new: Label, note: Noted, now: float) -> tuple[Learned, Noted]:
    """With a better label of an outcome, in place of the one it has."""
    kind, old = outcome.kind, outcome.label
    verifier = relabelled(
        learned.verifier(kind), new, old, number=note.number, refused=note.refused, again=outcome.again
    )
    learned = replace(learned, verifiers={**learned.verifiers, kind: verifier})
    return told(learned, outcome, new, note, now)


def told(learned: Learned, outcome: Remembered, label: Label, note: Noted, now: float) -> tuple[Learned, Noted]:
    """Tells a model's drift, once for each verdict: the first that says something, and a better one that differs.

    How far chances are off is told of the first one only.

    What the first one added is not taken out again, as the statistic does not remember what it cut off at 0.
    """
    verdict = label.score >= GOOD
    if outcome.expected is None or label.confidence < INFORMATIVE or note.told == verdict:
        return learned, note
    drift = learned.drift.get(outcome.model, Drift()).fed(
        outcome.expected, label.score, decisions=learned.ledger.decisions, now=now
    )
    drifts, calibrations = used_last({**learned.drift, outcome.model: drift}, MODELS), learned.calibrations
    if note.told is None:
        calibration = calibrations.get(outcome.kind, Calibration()).after(outcome.expected, label.score)
        calibrations = {**calibrations, outcome.kind: calibration}
    return replace(learned, drift=drifts, calibrations=calibrations), replace(note, told=verdict)
