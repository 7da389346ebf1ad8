"""Carries out what the flow commands, once for sync and once for async.

This is the only place that waits, reads the clock and calls models. The two drivers differ in colour only: an
async generator returns no value, so its last item is the attempt; everything else they share.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, Protocol, cast

from .answering.answer import Delta
from .answering.attempt import Attempt
from .answering.claims import Claim, Grant, Granted
from .answering.health import Conditions
from .caching.orders import Lookup
from .clock import Clock
from .commands import Consult, Embedded, Precedent, Replay, Spawn
from .consulting import Consultant
from .flow import Call, Command, Considered, Embed, Flow, Note, Outcome, Race, Recall, Reserve, Settle, TakeOver, Wait
from .journaling import Journals, Pen, Scribe
from .leaving import Leavings
from .memory.journal import JournalPlace, place_of
from .memory.recall import Missing, Recalled, Vector
from .opening import Opener, passing_errors
from .providers.responses_cursor import Bookmark, ResumableWire
from .providers.wire import Wire
from .racing import Racing, arace, race
from .replaying import OF_THE_CACHE, Answers, Cabinet, given, pieces_of
from .routing.decision import Decision
from .step.step import Step
from .taking import Beat, Take
from .tracing.record import Trace

Tell = Callable[[Note], None]
Close = Callable[["Run", Outcome], None]


class Embeds(Protocol):
    """Turns a step's text into a vector, in time or not at all, and brings the routes that it may take."""

    def embed(self, text: str, question: str | None) -> Embedded:
        """The vectors, or why there are none, and the routes; never raises."""
        ...

    async def aembed(self, text: str, question: str | None) -> Embedded:
        """As `embed`, without blocking the event loop."""
        ...


class Recalls(Protocol):
    """Brings what is known, in time or not at all."""

    def recall(self, step: Step, vector: Vector | Missing, lookup: Lookup | None) -> Recalled:
        """The sections that came; never raises."""
        ...

    async def arecall(self, step: Step, vector: Vector | Missing, lookup: Lookup | None) -> Recalled:
        """As `recall`, without blocking the event loop."""
        ...


class Live(Protocol):
    """Knows how the deployments are, grants calls, and is told how they went; never raises in a step."""

    def conditions(self, step: Step, recalled: Recalled, now: float) -> Conditions:
        """What is known of all deployments, what a recall brought included; takes no time."""
        ...

    def reserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """Whether a call may be made; what it may use is set aside."""
        ...

    async def areserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """As `reserve`, without blocking the event loop."""
        ...

    def began(self, model: str, attempt: str, now: float) -> None:
        """A call is under way."""
        ...

    def ended(self, attempt: Attempt, now: float) -> str | None:
        """A call has ended; why its circuit opened with that, if it did. Told twice it counts once."""
        ...

    def settle(self, attempts: tuple[Attempt, ...], unused: tuple[str, ...], now: float) -> None:
        """What calls really used, and reservations that were not needed; takes no time. Told twice it counts once."""
        ...


class Run:
    """A step under way: its flow, suspended at a command.

    Attributes:
        step: The step.
        pending: The command to carry out next; None once the flow has ended.
        decision: Set once the flow has told it.
        take: The attempt that is being made; None between attempts.
        outcome: Set once the flow has ended.
        seconds: How long the whole step took, once it is settled.
        trace: Its story, once it is settled.
        has_attempted: Whether any model was called.
        place: Where its journal is kept; None where it has none.
        pen: Writes its journal; None while there is nothing to write.
        scribe: Notes what the attempt says that is being made, or was made last.
        kept: Answers that their providers keep and go on with: id and model of the call, and how far it was taken.
    """

    def __init__(self, step: Step, flow: Flow[Any], tell: Tell, began: float, beat: Beat | None = None) -> None:
        self.beat = beat
        self.step = step
        self.flow = flow
        self.tell = tell
        self.began = began
        self.decision: Decision | None = None
        self.take: Take | Racing[Any] | None = None
        self.outcome: Outcome | None = None
        self.seconds = 0.0
        self.trace: Trace | None = None
        self.pending: Command[Any] | None = None
        self.has_attempted = False
        self.place: JournalPlace | None = None if step.prompt is None else place_of(step.place, step.prompt)
        self.pen: Pen | None = None
        self.scribe: Scribe | None = None
        self.kept: list[tuple[str, str, Bookmark]] = []
        self.send(None)

    def __repr__(self) -> str:
        return f"Run({self.step.id!r}, {self.step.kind!s})"

    def send(self, reply: Any) -> None:
        """Reply to the pending command and take the next one."""
        self.take = None
        try:
            self.pending = self.flow.send(reply)
        except StopIteration as end:
            self.pending, self.outcome = None, end.value

    @property
    def first_model(self) -> str | None:
        """The model that is asked first, or whose answer is given again; None before the decision."""
        if self.decision is None:
            return None
        return next(iter(self.decision.models), None) or self.decision.answered_by

    def close(self) -> None:
        """End a flow that nobody will drive any further."""
        self.flow.close()
        self.pending = None


class Driver:
    """Carries out the commands of flows.

    Args:
        wires: How to reach each model, by name.
        clock: Time.
        settle: Called once with each ended run; must not wait.
        embedder: Embeds steps; None where nothing is remembered.
        memory: Recalls; None where nothing is remembered.
        live: Knows how the deployments are and grants calls; None grants all.
        providers: Who runs each model, by name, where that is known.
        hurry: Called when an attempt has failed, so that others learn of it before the step ends; must not wait.
        journal: Gives what keeps unfinished answers, opened by its first use; None keeps nothing of them.
        answers: Keeps answers to be given again; None keeps none.

    Attributes:
        spawn: Runs flows in the background; must not wait. None knows no such command.
    """

    spawn: Callable[[Spawn], None] | None = None

    def __init__(
        self,
        wires: Mapping[str, Wire],
        *,
        clock: Clock,
        settle: Close,
        embedder: Embeds | None = None,
        memory: Recalls | None = None,
        live: Live | None = None,
        providers: Mapping[str, str | None] | None = None,
        hurry: Callable[[], None] | None = None,
        journal: Callable[[], Journals] | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.wires = wires
        self.clock = clock
        self.settle = settle
        self.embedder = embedder
        self.memory = memory
        self.live = live
        self.providers = providers or {}
        self.hurry = hurry
        self.journal = journal
        self.opener, self.cabinet = Opener(wires), Cabinet(answers)
        self.leavings = Leavings()
        self.consultant = Consultant(wires, clock=clock, live=live, providers=self.providers, passing=passing_errors)

    def begin(self, step: Step, flow: Flow[Outcome], tell: Tell, beat: Beat | None = None) -> Run:
        """Start a step and drive it through its decision, which spends no money but for a tie-break between routes.

        Args:
            step: The step.
            flow: Its flow.
            tell: Hears the notes.
            beat: Called with each piece and at the beginning of each call and wait, as a sign of life.

        Raises:
            NoAbleModel: No model can take the step.
        """
        run = Run(step, flow, tell, self.clock.monotonic(), beat)
        while run.pending is not None and run.decision is None:
            run.send(self.perform(run, run.pending))
        return run

    async def abegin(self, step: Step, flow: Flow[Outcome], tell: Tell, beat: Beat | None = None) -> Run:
        """As `begin`, without blocking the event loop."""
        run = Run(step, flow, tell, self.clock.monotonic(), beat)
        while run.pending is not None and run.decision is None:
            run.send(await self.aperform(run, run.pending))
        return run

    def consider(self, step: Step, flow: Flow[Considered]) -> Considered:
        """Drive a step up to its decision and no further.

        Raises:
            NoAbleModel: No model can take the step.
        """
        run = Run(step, flow, tell_nobody, self.clock.monotonic())
        while run.pending is not None:
            run.send(self.perform(run, run.pending))
        return cast("Considered", run.outcome)

    async def aconsider(self, step: Step, flow: Flow[Considered]) -> Considered:
        """As `consider`, without blocking the event loop."""
        run = Run(step, flow, tell_nobody, self.clock.monotonic())
        while run.pending is not None:
            run.send(await self.aperform(run, run.pending))
        return cast("Considered", run.outcome)

    def stream(self, run: Run, *, watched: bool) -> Generator[Delta, None, None]:
        """Drive a step to its end and give what may be shown on the way.

        Args:
            run: The step, begun.
            watched: Whether the pieces go to a consumer; where they do not, everything may be escalated.
        """
        while (command := run.pending) is not None:
            match command:
                case Call():
                    reply: Any = yield from self.call(run, command, watched)
                case Race():
                    reply = yield from self.race(run, command, watched)
                case Replay() if watched:
                    yield from pieces_of(command)
                    reply = given(command, shown=True)
                case _:
                    reply = self.perform(run, command)
            run.send(reply)

    async def astream(self, run: Run, *, watched: bool) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        while (command := run.pending) is not None:
            match command:
                case Call() | Race():
                    reply: Any = None
                    said: AsyncGenerator[Any, None]
                    if isinstance(command, Call):
                        said = self.acall(run, command, watched)
                    else:
                        said = self.arace(run, command, watched)
                    async with aclosing(said) as pieces:
                        async for piece in pieces:
                            if isinstance(piece, Delta):
                                yield piece
                            else:
                                reply = piece
                case Replay() if watched:
                    for piece in pieces_of(command):
                        yield piece
                    reply = given(command, shown=True)
                case _:
                    reply = await self.aperform(run, command)
            run.send(reply)

    def call(self, run: Run, command: Call, watched: bool) -> Generator[Delta, None, Attempt]:
        """Call one model; gives what may be shown and returns the attempt."""
        take, wire = self.take(run, command, watched), self.wires[command.model]
        try:
            with closing(self.opener.open(take)) as pieces:
                for delta in pieces:
                    if (shown := take.feed(delta)) is not None:
                        yield shown
                    if take.shaper.is_over:
                        break
        except passing_errors():
            self.abandon(run, take)
            raise
        except Exception as error:  # one of the three broad guards: a broken model is an attempt
            return self.failed(run, take, wire, error)
        except BaseException:  # the consumer went away
            self.abandon(run, take)
            raise
        return self.finished(run, take)

    async def acall(self, run: Run, command: Call, watched: bool) -> AsyncGenerator[Delta | Attempt, None]:
        """As `call`; the attempt is the last item."""
        take, wire = self.take(run, command, watched), self.wires[command.model]
        try:
            async with aclosing(self.opener.aopen(take)) as pieces:
                async for delta in pieces:
                    if (shown := take.feed(delta)) is not None:
                        yield shown
                    if take.shaper.is_over:
                        break
        except passing_errors():
            self.abandon(run, take)
            raise
        except Exception as error:  # the same guard as in `call`
            yield self.failed(run, take, wire, error)
            return
        except BaseException:  # the consumer went away
            self.abandon(run, take)
            raise
        yield self.finished(run, take)

    def take(self, run: Run, command: Call, watched: bool) -> Take:
        """An attempt about to begin."""
        self.let_go(run, command)
        run.take = take = self.begun(run, command, watched)
        return take

    def begun(self, run: Run, command: Call, watched: bool) -> Take:
        """A call about to be made, of a race or alone."""
        run.has_attempted = True
        if run.beat is not None:
            run.beat()
        if self.live is not None:
            self.live.began(command.model, command.id, self.clock.now())
        bookmark = Bookmark() if getattr(self.wires[command.model], "keeps_answers", False) else None
        if bookmark is not None:
            run.kept.append((command.id, command.model, bookmark))
        return Take(
            command=command,
            shaper=command.shaping.start(watched=watched, now=self.clock.monotonic),
            clock=self.clock,
            step=run.step,
            began=self.clock.monotonic(),
            run_began=run.began,
            provider=self.providers.get(command.model),
            beat=run.beat,
            watched=watched,
            bookmark=bookmark,
            scribe=self.scribe(run, command, watched),
        )

    def scribe(self, run: Run, command: Call, watched: bool) -> Scribe | None:
        """What notes a call's answer in the step's journal; None where it has none."""
        if self.journal is None or run.place is None:
            return None
        if run.pen is None:
            run.pen = self.journal().open(run.place, self.clock.now())
        run.scribe = Scribe(run.pen, command, watched=watched, origin=run.scribe)
        return run.scribe

    def let_go(self, run: Run, command: Call | None) -> None:
        """Have providers stop that go on with answers which nobody will take up; one that is replayed goes on."""
        kept, run.kept = run.kept, []
        for _, model, bookmark in kept:
            cursor = bookmark.cursor
            if cursor is None:
                continue
            if command is None or command.cursor is None or command.cursor.response_id != cursor.response_id:
                self.leavings.cancel(cast("ResumableWire", self.wires[model]), cursor, model)

    def race(self, run: Run, command: Race, watched: bool) -> Generator[Delta, None, tuple[Attempt, ...]]:
        """Race models; gives what may be shown and returns the attempts."""
        run.take = racing = self.racing(run, command, watched)
        try:
            attempts = yield from race(racing, self.opener.open)
        except BaseException:  # the consumer went away, or what is no failure of a model; those are attempts
            self.abandon(run, racing)
            raise
        self.observe_failed(run, attempts)
        return attempts

    async def arace(self, run: Run, command: Race, watched: bool) -> AsyncGenerator[Delta | tuple[Attempt, ...], None]:
        """As `race`; the attempts are the last item."""
        run.take = racing = self.racing(run, command, watched)
        try:
            async with aclosing(arace(racing, self.opener.aopen)) as pieces:
                async for piece in pieces:
                    if not isinstance(piece, Delta):
                        self.observe_failed(run, piece)
                    yield piece
        except BaseException:  # as in `race`
            self.abandon(run, racing)
            raise

    def racing(self, run: Run, command: Race, watched: bool) -> Racing[Any]:
        """A race about to begin; it stands where the take of a single call stands."""
        self.let_go(run, None)
        return Racing(
            command, begin=lambda call: self.begun(run, call, watched), wires=self.wires, passing=passing_errors()
        )

    def observe_failed(self, run: Run, attempts: Sequence[Attempt]) -> None:
        """Let others know at once of calls without an answer."""
        answered = {attempt.id for attempt in attempts if attempt.answer is not None}
        run.kept = [one for one in run.kept if one[0] not in answered]
        for attempt in attempts:
            if attempt.failure is not None:
                self.observe(run, attempt)

    def finished(self, run: Run, take: Take) -> Attempt:
        """An attempt whose stream has ended; one that gave an answer is judged by its checks, when all is settled."""
        attempt = take.finished()
        if attempt.answer is not None:
            run.kept = [one for one in run.kept if one[0] != attempt.id]
        if attempt.failure is not None:
            self.observe(run, attempt)
        return attempt

    def failed(self, run: Run, take: Take, wire: Wire, error: Exception) -> Attempt:
        """An attempt whose wire has raised."""
        attempt = take.failed(wire, error)
        self.observe(run, attempt)
        return attempt

    def observe(self, run: Run, attempt: Attempt) -> None:
        """Let others know at once how an attempt went."""
        if self.live is not None and (why := self.live.ended(attempt, self.clock.now())) is not None:
            run.tell(Note(event="breaker_open", facts={"model": attempt.model, "why": why}))
        if self.hurry is not None:
            self.hurry()

    def close(self, run: Run) -> None:
        """End a run that its caller is done with: a cancelled attempt is settled, an unused flow just ends.

        An async generator whose consumer went away is closed by the event loop at some later time; what was
        spent must not depend on that.
        """
        if run.take is not None:
            self.abandon(run, run.take)
        elif run.has_attempted and isinstance(run.pending, Wait | Reserve):
            self.leave(run, gone_reply(run.pending))
        run.close()

    def abandon(self, run: Run, take: Take | Racing[Any]) -> None:
        """Let the flow settle what was spent on a consumer that went away; calls nobody and waits for nothing."""
        if run.take is not take:
            return  # settled already, when the run was closed
        left = take.cancelled()
        self.observe_failed(run, left if isinstance(left, tuple) else (left,))
        self.leave(run, left)

    def leave(self, run: Run, reply: Any) -> None:
        """Reply and go through the rest of a flow that nobody waits for any more."""
        run.send(reply)
        while run.pending is not None:
            match run.pending:
                case Call() | Race():
                    run.close()
                case Wait() | Reserve():
                    run.send(gone_reply(run.pending))
                case _:
                    run.send(self.reply(run, run.pending))

    def perform(self, run: Run, command: Command[Any]) -> Any:
        """Carry out a command that calls no model."""
        match command:
            case Wait():
                self.clock.sleep(command.seconds)
                return True
            case Embed() if self.embedder is not None:
                return self.embedder.embed(command.text, command.question)
            case Recall() if self.memory is not None:
                return self.known(run, self.memory.recall(command.step, command.vector, command.lookup))
            case TakeOver() if self.journal is not None and run.place is not None:
                run.pen = self.journal().claim(run.place, command.entry, self.clock.now())
                return run.pen is not None
            case Reserve() if self.live is not None:
                return self.live.reserve(command.step, command.claim, self.clock.now())
            case Consult():
                return self.consultant.consult(command, run)
            case _ if isinstance(command, OF_THE_CACHE):
                return self.cabinet.perform(command)
            case _:
                return self.reply(run, command)

    async def aperform(self, run: Run, command: Command[Any]) -> Any:
        """As `perform`, without blocking the event loop."""
        match command:
            case Wait():
                await self.clock.asleep(command.seconds)
                return True
            case Embed() if self.embedder is not None:
                return await self.embedder.aembed(command.text, command.question)
            case Recall() if self.memory is not None:
                known = await self.memory.arecall(command.step, command.vector, command.lookup)
                return self.known(run, known)
            case TakeOver() if self.journal is not None and run.place is not None:
                run.pen = await self.journal().aclaim(run.place, command.entry, self.clock.now())
                return run.pen is not None
            case Reserve() if self.live is not None:
                return await self.live.areserve(command.step, command.claim, self.clock.now())
            case Consult():
                return await self.consultant.aconsult(command, run)
            case _ if isinstance(command, OF_THE_CACHE):
                return await self.cabinet.aperform(command)
            case _:
                return self.reply(run, command)

    def known(self, run: Run, recalled: Recalled) -> Recalled:
        """What is known, with what this process knows itself: the health of deployments, and journals it left."""
        now, own = self.clock.now(), dict(recalled.sections)
        if self.live is not None:
            own["health"] = self.live.conditions(run.step, recalled, now)
        if self.journal is not None and run.place is not None:
            own["journal"] = self.journal().match(run.place, recalled.section("journal"), now)
        return Recalled(sections=own)

    def reply(self, run: Run, command: Command[Any]) -> Any:
        """Carry out a command that takes no time."""
        match command:
            case Embed():
                return Embedded()
            case Reserve():
                return Granted()
            case Recall():
                return self.known(run, Recalled())
            case TakeOver():
                return False
            case Replay():
                return given(command, shown=False)
            case _ if isinstance(command, OF_THE_CACHE):
                return self.cabinet.reply(command)
            case Precedent():
                return self.consultant.precedent(command.key)
            case Note():
                run.decision = command.decision or run.decision
                run.tell(command)
            case Settle():
                run.seconds = self.clock.monotonic() - run.began
                self.let_go(run, None)
                if run.pen is not None:
                    run.pen.leave(self.clock.now(), keep=command.leaves_journal)
                self.settle(run, command.outcome)
            case Spawn() if self.spawn is not None:
                self.spawn(command)
            case _:
                raise TypeError(f"the driver knows no command {type(command).__name__}")
        return None


def tell_nobody(note: Note) -> None:
    """Nobody listens to a step that is only considered."""


def gone_reply(command: Wait | Reserve) -> bool | None:
    """What a command is answered with when nobody waits any more."""
    return False if isinstance(command, Wait) else None
