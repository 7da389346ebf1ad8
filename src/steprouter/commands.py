"""What only a driver can do for a step, as typed values, and what a step leaves.

The flow yields them and receives replies; `drive` carries them out. There are no others.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from .answering.agreement import Probed
from .answering.attempt import Attempt
from .answering.claims import Claim, Grant
from .answering.cursor import Cursor
from .answering.moves import GiveUp
from .answering.patience import Timeouts
from .answering.progress import Progress
from .answering.shape import Shaping
from .caching.entry import Entry
from .caching.lookup import Hit
from .caching.orders import Lookup, Observed
from .caching.use import Used
from .memory.drafts import Material
from .memory.journal import JournalEntry
from .memory.recall import NOT_KEPT, Missing, Recalled, Vector
from .memory.remember import Ended
from .models.cost import Usage
from .routing.decision import Decision
from .step.ask import Ask
from .step.step import Step

if TYPE_CHECKING:
    from .routing.route_match import RouteTable

R = TypeVar("R")

EventName = Literal[
    "decision", "attempt_failed", "failover", "resumed", "escalated", "cache_hit", "budget", "breaker_open",
    "drift", "degraded",
]  # fmt: skip


class Command(Generic[R]):
    """Something only the driver can do; `R` is the type of its reply."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What embedding brings.

    Attributes:
        vector: The text as a vector, or why there is none.
        question: The question as a vector, where there is one.
        routes: The semantic routes in force; None where there are none, or they are not ready yet.
    """

    vector: Vector | Missing = field(default=NOT_KEPT, repr=False)
    question: Vector | Missing = field(default=NOT_KEPT, repr=False)
    routes: RouteTable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed(Command[Embedded]):
    """Turn the step's text into a vector, and bring the routes that it may take; takes no trip to the store.

    Attributes:
        text: The step's text.
        question: What a cached answer is looked for by, besides; None looks for none.
    """

    text: str = field(repr=False)
    question: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall(Command[Recalled]):
    """Bring what is known, in one round trip.

    Attributes:
        step: The step.
        vector: Its text as a vector, or why there is none.
        lookup: What cached answer is looked for besides; None looks for none.
    """

    step: Step
    vector: Vector | Missing = field(repr=False)
    lookup: Lookup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand(Command[Entry | None]):
    """Bring the answer to this very question, if this process has it; takes no time.

    Attributes:
        step: The step.
        exact: The digest of the question.
    """

    step: Step
    exact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitFilled(Command[Entry | None]):
    """Wait for the answer that somebody else is just getting to this very question; None if it does not come.

    Attributes:
        step: The step.
        exact: The digest of the question.
        seconds: How long to wait at most.
    """

    step: Step
    exact: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay(Command[Attempt]):
    """Give a cached answer, piece by piece where somebody watches.

    Attributes:
        hit: What was found.
    """

    hit: Hit


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Command[None]):
    """Let others get the answer to a question that this step will not answer; off the path.

    Attributes:
        step: The step.
        exact: The digest of the question.
    """

    step: Step
    exact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a model said to a question about routes.

    Attributes:
        model: Which one.
        said: Its answer, or the beginning of a long one.
    """

    model: str
    said: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent(Command[Heard | Missing | None]):
    """Look up what a model said when the same was asked before; takes no time.

    The reply is None if nobody was asked yet, or why nobody is to be asked just now.

    Attributes:
        key: Digest of the question.
    """

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve(Command[Grant | None]):
    """Ask whether a call may be made now, and set aside what it may use: money, rate, the lease of a probe.

    What is not settled stays spent, or expires by itself. The reply is None where nobody waits for an answer any
    more.
    """

    step: Step
    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Command[Attempt]):
    """Call one model and stream what it says through the shaping.

    Attributes:
        id: Names the attempt, unique for ever.
        model: Which one.
        why: Why it is tried now.
        ask: What to say to it.
        shaping: What the consumer may see before the answer is checked.
        timeouts: How long it may take.
        added_tokens: What an example in it, and what is gone on with, add to the step's own prompt.
        goes_on: Whether it goes on with an answer; else it begins one.
        is_structured: Whether the answer is JSON because a format was asked for.
        cursor: Where its provider replays the answer from; None asks for one.
        billed: What was taken as billed for the same answer before, where a provider bills the whole once.
    """

    id: str = ""
    model: str
    why: str
    ask: Ask = field(repr=False)
    shaping: Shaping = field(default_factory=Shaping)
    timeouts: Timeouts = field(default_factory=Timeouts)
    added_tokens: int = 0
    goes_on: bool = False
    is_structured: bool = False
    cursor: Cursor | None = None
    billed: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consult(Command[Attempt]):
    """Ask a model which route the step takes, before the step is decided; nobody is shown what it says.

    It is over in `call.timeouts.total`, whatever the model does. What it used is settled at once: a step that is only
    considered, or that no model can take, settles nothing.

    Attributes:
        call: The call.
        key: Digest of the question, under which the answer is known from now on.
        is_probe: Whether its breaker is decided by it.
    """

    call: Call
    key: str
    is_probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Race(Command[tuple[Attempt, ...]]):
    """Call a second model if the first has said nothing after a while; the first to speak answers (hedging).

    Attributes:
        calls: The calls in order.
        after_seconds: How long to wait before each further one.
    """

    calls: tuple[Call, ...]
    after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Command[bool]):
    """Let time pass, because a provider asked for it. The reply is False if nobody waits for an answer any more."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Command[None]):
    """Tell whoever listens that something happened; costs nothing when nobody does."""

    event: EventName
    facts: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver(Command[bool]):
    """Take over the journal of an answer that an ended process has left. The reply is False if somebody else has."""

    step: Step
    entry: JournalEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Command[None]):
    """Hand what happened to memory and trace, off the path. A flow's last word, but for a probe.

    Attributes:
        outcome: What happened.
        leaves_journal: Whether what an unfinished answer has said is kept, for whoever asks the same again.
    """

    outcome: Outcome
    leaves_journal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn(Command[None]):
    """Run another flow in the background (probes, audits, judges); the step does not wait for it.

    Attributes:
        step: The step that the flow is about, with an id of its own.
        flow: The flow, not begun.
        why: What it is for, in a word.
    """

    step: Step
    flow: Flow[Any] = field(repr=False)
    why: str


Flow = Generator[Command[Any], Any, R]


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """A step that was decided and not begun.

    Attributes:
        step: The step.
        ask: What is asked.
        vector: The step's text as a vector, or why there is none.
        recalled: What was known.
        decision: Which models are to be tried, and why.
        used: What came of looking for a cached answer; None where there is no cache.
    """

    step: Step
    ask: Ask = field(repr=False)
    vector: Vector | Missing = field(repr=False)
    recalled: Recalled = field(repr=False)
    decision: Decision
    used: Used | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step.

    Attributes:
        step: The step.
        decision: Which models were to be tried, and why.
        progress: What was tried, in order, and who could not be asked.
        answered_by: The attempt whose answer was given; None if there is none.
        gave_up: Why there is no answer; None if there is one.
        recalled: What was known when the step began.
        vector: The step's text as a vector, or why there is none.
        material: What there is to learn from it; None where lessons are not kept.
        probe: What came of it as a probe of a step; None for a step.
        used: What came of looking for a cached answer; None where there is no cache.
        observed: What was learnt of cached answers.
        ask: What was asked; None for what is no step of its own.
    """

    step: Step
    decision: Decision
    progress: Progress = field(default_factory=Progress)
    answered_by: Attempt | None = None
    gave_up: GiveUp | None = None
    recalled: Recalled = field(default_factory=Recalled, repr=False)
    vector: Vector | Missing = field(default=NOT_KEPT, repr=False)
    material: Material | None = field(default=None, repr=False)
    probe: Probed | None = None
    used: Used | None = None
    observed: tuple[Observed, ...] = ()
    ask: Ask | None = field(default=None, repr=False)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What was tried, in order."""
        return self.progress.attempts

    @property
    def degraded(self) -> tuple[str, ...]:
        """What was broken on the way, in words."""
        return self.recalled.degraded

    def ended(self, vector: bytes | None, seconds: float) -> Ended:
        """The step as far as memory looks at it.

        Args:
            vector: Its text as float32 bytes; None if it was not embedded.
            seconds: How long it took.
        """
        given, decision = self.answered_by, self.decision
        return Ended(
            step=self.step,
            attempts=tuple(one for one in self.attempts if not one.is_given_without_a_call),
            answered_by=None if given is not None and given.is_given_without_a_call else given,
            vector=vector,
            recalled=self.recalled,
            seconds=seconds,
            examples=decision.examples,
            material=self.material,
            expected=decision.expected,
            charge=decision.charge,
            reference=decision.reference,
            route=decision.route,
            asked_usd=0.0 if decision.tie_break is None else decision.tie_break.usd,
            probe=self.probe,
        )
