"""Lessons in this process, by the same rules as in Redis: all there is without a server, gone with the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..step.step import Step
from .books import Book, at_hand, book_of, is_superfluous, suits
from .drafts import Draft, sealed, sealed_result, with_result
from .effect import Effect, effect_of, superfluous
from .labels import Label, Source
from .lessons import LESSON_TTL_SECONDS, UNVERIFIED_SECONDS, AtHand, Lesson, Lessons, judged
from .local import LocalMemory, trim
from .recall import NOT_KEPT, Missing, Vector
from .remember import Remembrance

WAITING = 256
"""Solved steps that wait for their verdict, the newest; the next step of a thread brings most of them."""

BOOKS = 256
"""Pairs of tenant and kind, those changed last."""


class LocalLessons:
    """The lessons of this process. Safe in threads.

    Args:
        policy: What the user asks.
        dimension: Numbers in a vector.
        memory: Where the verdicts are.
    """

    def __init__(self, policy: Lessons, dimension: int, memory: LocalMemory) -> None:
        self.policy = policy
        self.dimension = dimension
        self.memory = memory
        self.lock = threading.Lock()
        self.waiting: OrderedDict[tuple[str, str], Lesson] = OrderedDict()
        self.books: OrderedDict[tuple[str, str], Book] = OrderedDict()

    def at_hand(self, step: Step, vector: Vector | Missing) -> AtHand | Missing:
        """The lessons that resemble a step."""
        book = self.books.get((step.place.tenant, str(step.kind)))
        if book is None or isinstance(vector, Missing) or step.kind not in self.policy.kinds:
            return NOT_KEPT
        place = step.place

        def fits(lesson: Lesson) -> bool:
            return suits(lesson, step, self.policy, node=place.node, thread=place.thread, user=place.user)

        return at_hand(book, vector, self.policy, suits=fits)

    def write(self, batch: Sequence[Remembrance], now: float) -> None:
        """Keep what ended steps solved, until its verdict comes, and take note of the verdicts they brought."""
        with self.lock:
            for one in batch:
                if one.draft is not None:
                    self.keep(one.tenant, one.draft)
                for label in one.labels:
                    self.take_result(one.tenant, label, one.results)
                self.judge(one.tenant, [label.step_id for label in one.labels], now)

    def keep(self, tenant: str, draft: Draft) -> None:
        """Let what is new, and not known in other words, wait for its verdict."""
        book = self.books.get((tenant, draft.lesson.kind))
        if book is not None and is_superfluous(book, draft.lesson):
            return
        if (lesson := sealed(draft, self.policy.tokens)) is not None:
            self.waiting[tenant, lesson.id] = lesson
            trim(self.waiting, (tenant, lesson.id), WAITING)

    def take_result(self, tenant: str, label: Label, results: str) -> None:
        """Add to a solved step what the tools gave that it called."""
        if label.source is not Source.TOOL or not results:
            return

        def told(lesson: Lesson) -> Lesson:
            is_meant = lesson.id == label.step_id
            return with_result(lesson, sealed_result(results), self.policy.tokens) if is_meant else lesson

        if (waiting := self.waiting.get((tenant, label.step_id))) is not None:
            self.waiting[tenant, label.step_id] = told(waiting)
            return
        # Verified already: the verdict is known at once, the result when it is written.
        for place, book in list(self.books.items()):
            if place[0] == tenant and any(one.id == label.step_id for one in book.lessons):
                self.books[place] = book_of([told(one) for one in book.lessons], self.dimension, book.verdict)

    def verify(self, tenant: str, step_ids: Iterable[str], now: float) -> None:
        """Take note of verdicts on steps."""
        with self.lock:
            self.judge(tenant, step_ids, now)

    def judge(self, tenant: str, step_ids: Iterable[str], now: float) -> None:
        """Make lessons of what was right, take back what was not, and look at what they do."""
        new: dict[str, dict[str, Lesson]] = {}
        for place, lesson in list(self.waiting.items()):
            right = judged(self.memory.label_of(*place)) if place[0] == tenant else None
            if right is not None or now - lesson.at > UNVERIFIED_SECONDS:
                del self.waiting[place]
            if right and (label := self.memory.label_of(*place)) is not None:
                new.setdefault(lesson.kind, {})[lesson.id] = replace(lesson, verified=label.source)
        told = [label for one in step_ids if (label := self.memory.label_of(tenant, one)) is not None]
        for kind in {*new, *(kind for whose, kind in self.books if whose == tenant)}:
            self.tidy(tenant, kind, new.get(kind, {}), told, now)

    def tidy(self, tenant: str, kind: str, new: Mapping[str, Lesson], told: Iterable[Label], now: float) -> None:
        """Add lessons to a book, and give up those that are wrong, old, do harm or are too much."""
        place, effect = (tenant, kind), self.effect(tenant, kind)
        known = self.books.get(place)
        kept = {one.id: one for one in known.lessons} if known is not None else {}
        for label in told:
            if label.step_id in kept and (right := judged(label)) is not None:
                lesson = kept.pop(label.step_id)
                kept |= {lesson.id: replace(lesson, verified=label.source)} if right else {}
        lessons = [one for one in {**kept, **new}.values() if now - one.at < LESSON_TTL_SECONDS]
        gone = superfluous(lessons, effect, self.policy, now)
        left, verdict = [one for one in lessons if one.id not in gone], effect.verdict(now)
        if known is None or known.lessons != tuple(left) or known.verdict is not verdict:
            self.books[place] = book_of(left, self.dimension, verdict)
            trim(self.books, place, BOOKS)

    def effect(self, tenant: str, kind: str) -> Effect:
        """What lessons did at a kind of step."""
        return effect_of(self.memory.effect(tenant, kind))

    def verified(self, tenant: str, kind: str | None = None) -> list[Lesson]:
        """The verified lessons, the newest first."""
        mine = [book for (whose, of), book in list(self.books.items()) if whose == tenant and kind in (None, of)]
        return sorted((one for book in mine for one in book.lessons), key=lambda one: -one.at)

    def delete(self, tenant: str, lesson_id: str) -> bool:
        """Delete a lesson; whether there was one."""
        return self.erase(tenant, lambda lesson: lesson.id == lesson_id) > 0

    def erase(self, tenant: str, which: Callable[[Lesson], bool]) -> int:
        """Delete those of a tenant's lessons, verified or not, that are meant; how many there were."""
        with self.lock:
            waiting = [place for place, one in self.waiting.items() if place[0] == tenant and which(one)]
            for place in waiting:
                del self.waiting[place]
            erased = len(waiting)
            for place, book in list(self.books.items()):
                left = [one for one in book.lessons if place[0] != tenant or not which(one)]
                if len(left) < len(book.lessons):
                    erased += len(book.lessons) - len(left)
                    self.books[place] = book_of(left, self.dimension, book.verdict)
            return erased

    def forget(self, tenant: str, *, thread: str | None = None, user: str | None = None) -> int:
        """Forget a tenant's lessons, or those of one thread or user of it; how many there were."""

        def is_meant(lesson: Lesson) -> bool:
            everything = thread is None and user is None
            of_thread = thread is not None and lesson.thread == thread
            return everything or of_thread or (user is not None and lesson.user == user)

        return self.erase(tenant, is_meant)
