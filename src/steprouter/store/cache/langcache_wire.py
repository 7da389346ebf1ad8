"""The way to a LangCache service: in time or not at all, and left alone for a while when it fails."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from steprouter.caching.langcache import LangCacheService
from steprouter.errors import ConfigError
from steprouter.memory.recall import Missing

if TYPE_CHECKING:
    import httpx
    from langcache import LangCache

log = logging.getLogger("steprouter.store")

T = TypeVar("T")

SEARCHES_AT_ONCE = 32
"""With 0.05 s each more than 600 in a second, and each takes some 3 ms of Python."""

WRITES_AT_ONCE = 8
"""So that a batch of 64 answers takes half a second."""

WRITE_SECONDS = 5.0
"""What is waited for off the path, of a whole batch: what else ended steps leave waits behind it."""

FIRST_PAUSE_SECONDS = 5.0
LAST_PAUSE_SECONDS = 60.0
"""How long a service that failed is left alone: as long as it has been away, within these. So one step pays its
deadline in the first 5 s, and later one in a minute."""

LONGEST_MILLIS = 31_556_952_000
"""Of a time to live: a year (the service's OpenAPI description)."""

TOO_LARGE = 413

HINTS = {
    400: "; it must have the attributes tenant, scope, user, thread and tag",
    401: "; see its api_key",
    403: "; see its api_key",
    404: "; see its server_url and cache_id",
}

BUSY = Missing(reason="LangCache is not asked: too much is under way to it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked for.

    Attributes:
        text: The question, as it may be told.
        attributes: What must be the same.
        least: How like it must be, 0 to 1.
        most: How many are wanted.
    """

    text: str = field(repr=False)
    attributes: Mapping[str, str]
    least: float
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the service found.

    Attributes:
        id: Its own name for it.
        response: What we had it keep.
        attributes: By what it was found.
        similarity: Its figure, 0 to 1.
    """

    id: str
    response: str = field(repr=False)
    attributes: Mapping[str, str]
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A question that is to be found.

    Attributes:
        text: It, as it may be told.
        response: What is found with it.
        attributes: By what it is found and removed.
        seconds: How long.
    """

    text: str = field(repr=False)
    response: str
    attributes: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The service said no, or nothing that can be understood.

    Attributes:
        why: In words, without what the service was told or said.
        is_ours: Whether only this request was bad; the next may be answered.
        pause_seconds: How long the service asks to be left alone.
    """

    why: str
    is_ours: bool = False
    pause_seconds: float = 0.0


class Leave:
    """Whether a service is left alone; safe in threads.

    Args:
        turn_seconds: How long one who tries it again is waited for before the next may.
        clock: Monotonic seconds.
    """

    def __init__(self, turn_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.turn_seconds = turn_seconds
        self.clock = clock
        self.lock = threading.Lock()
        self.why: Missing | None = None
        self.since = 0.0
        self.until = 0.0

    def barred(self) -> Missing | None:
        """Why the service is not asked now; None where it is. After a failure one tries it, and the others do not."""
        if (why := self.why) is None:
            return None
        with self.lock:
            now = self.clock()
            if now < self.until:
                return why
            self.until = now + self.turn_seconds
            return None

    def failed(self, why: Missing, pause_seconds: float = 0.0) -> None:
        """Leave the service alone, for so long at least."""
        with self.lock:
            now = self.clock()
            if self.why is None:
                self.since = now
                log.warning("%s; it is left alone for a while", why.reason)
            away = min(LAST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, now - self.since, pause_seconds))
            self.why, self.until = why, max(self.until, now + away)

    def answered(self) -> None:
        """Ask the service as ever."""
        if self.why is None:
            return
        with self.lock:
            if self.why is not None:
                log.info("LangCache answers again after %.1f s", self.clock() - self.since)
            self.why, self.until = None, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What requests are made with.

    Attributes:
        http: Connections.
        client: The service's own client.
        askers: Threads in which it is asked.
        tellers: Threads in which it is told things.
    """

    http: httpx.Client
    client: LangCache
    askers: ThreadPoolExecutor
    tellers: ThreadPoolExecutor


class LangCacheWire:
    """Requests to a service, each within its deadline; none is repeated, none raises.

    All go through the client's blocking side, in threads: its other one belongs to one event loop, and its deadlines
    are for each part of a request, not for the whole.

    Args:
        service: It.

    Raises:
        ConfigError: Its client is not installed.
    """

    def __init__(self, service: LangCacheService) -> None:
        check_installed()
        self.service = service
        self.leave = Leave(service.timeout_seconds)
        self.opening = threading.Lock()
        self.made: Opened | None = None
        self.opened()  # importing the client takes longer than a step would wait

    def opened(self) -> Opened:
        """What requests are made with; connects to nobody."""
        with self.opening:
            if self.made is None:
                self.made = opened(self.service)
                weakref.finalize(self, self.made.http.close)
            return self.made

    def search(self, asked: Asked) -> tuple[Found, ...] | Missing:
        """What the service finds, or why nothing."""
        future = self.begun(asked)
        if isinstance(future, Missing):
            return future
        try:
            return self.told(future.result(self.service.timeout_seconds))
        except FutureTimeout:
            return self.late(future)

    async def asearch(self, asked: Asked) -> tuple[Found, ...] | Missing:
        """As `search`, without blocking the event loop."""
        future = self.begun(asked)
        if isinstance(future, Missing):
            return future
        try:
            async with asyncio.timeout(self.service.timeout_seconds):
                return self.told(await asyncio.wrap_future(future))
        except TimeoutError:
            return self.late(future)

    def begun(self, asked: Asked) -> Future[tuple[Found, ...] | Refused] | Missing:
        """A search that has begun, or why none does."""
        if (barred := self.leave.barred()) is not None:
            return barred
        try:
            return self.opened().askers.submit(self.find, asked)
        except RuntimeError:  # the process ends
            return BUSY

    def find(self, asked: Asked) -> tuple[Found, ...] | Refused:
        """What the service finds."""
        from langcache.models import SearchStrategy

        client = self.opened().client
        answer = answered(
            lambda: client.search(
                prompt=asked.text,
                similarity_threshold=asked.least,
                search_strategies=[SearchStrategy.SEMANTIC],
                attributes=asked.attributes,
                max_results=asked.most,
                timeout_ms=millis(self.service.timeout_seconds),
            )
        )
        if answer is None or isinstance(answer, Refused):
            return answer or ()
        return tuple(
            Found(id=one.id, response=one.response, attributes=one.attributes, similarity=min(1.0, one.similarity))
            for one in answer.data[: asked.most]
            if math.isfinite(one.similarity) and one.similarity >= 0
        )

    def set_all(self, told: Sequence[Told]) -> list[Missing | None]:
        """Have the service keep questions; why each is not kept, or None."""

        def tell(one: Told) -> object:
            client = self.opened().client
            return answered(
                lambda: client.set(
                    prompt=one.text,
                    response=one.response,
                    attributes=one.attributes,
                    ttl_millis=millis(one.seconds),
                    timeout_ms=millis(WRITE_SECONDS),
                )
            )

        return self.each(tell, told)

    def delete_all(self, ids: Sequence[str]) -> list[Missing | None]:
        """Have the service remove what it calls so; what it does not know has gone already."""

        def tell(one: str) -> object:
            client = self.opened().client
            return answered(lambda: client.delete_by_id(entry_id=one, timeout_ms=millis(WRITE_SECONDS)), fine=404)

        return self.each(tell, ids)

    def delete(self, attributes: Mapping[str, str]) -> Missing | None:
        """Have the service remove all that has these attributes; why it does not, or None."""

        def tell(one: Mapping[str, str]) -> object:
            client = self.opened().client
            return answered(lambda: client.delete_query(attributes=one, timeout_ms=millis(WRITE_SECONDS)))

        return self.each(tell, [attributes])[0]

    def each(self, tell: Callable[[T], object], what: Sequence[T]) -> list[Missing | None]:
        """Tell the service several things, side by side as long as there are threads; off the path."""
        ends_at = time.monotonic() + WRITE_SECONDS

        def one(it: T) -> Missing | None:
            if (barred := self.leave.barred()) is not None:
                return barred
            if time.monotonic() > ends_at:
                return BUSY
            done = self.told(tell(it))
            return done if isinstance(done, Missing) else None

        if not what:
            return []
        try:
            return list(self.opened().tellers.map(one, what))
        except RuntimeError:  # the process ends, and begins no threads any more
            return [one(it) for it in what]

    def told(self, said: T | Refused) -> T | Missing:
        """What came of a request; by it is known whether the service is to be left alone."""
        if not isinstance(said, Refused):
            self.leave.answered()
            return said
        why = Missing(reason=said.why)
        if not said.is_ours:
            self.leave.failed(why, said.pause_seconds)
        return why

    def late(self, future: Future[tuple[Found, ...] | Refused]) -> Missing:
        """Give up on a request; where it had not even begun that says nothing of the service."""
        if future.cancel():
            return BUSY
        why = Missing(reason=f"LangCache took longer than {self.service.timeout_seconds:g} s")
        self.leave.failed(why)
        return why

    def close(self) -> None:
        """Give connections back; the next use opens them anew."""
        with self.opening:
            made, self.made = self.made, None
        if made is not None:
            made.askers.shutdown(wait=False, cancel_futures=True)
            made.tellers.shutdown()
            made.http.close()


def opened(service: LangCacheService) -> Opened:
    """What requests to a service are made with. A redirect is not followed: it would take questions elsewhere."""
    import httpx
    from langcache import LangCache

    http = httpx.Client(follow_redirects=False)
    client = LangCache(
        server_url=service.server_url,
        cache_id=service.cache_id,
        api_key=service.secret,
        client=http,
        async_client=Unused(),
        debug_logger=Silent(),
    )
    askers = ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="steprouter-langcache")
    tellers = ThreadPoolExecutor(WRITES_AT_ONCE, thread_name_prefix="steprouter-langcache-write")
    return Opened(http=http, client=client, askers=askers, tellers=tellers)


class Silent:
    """Says nothing: the client would log questions where `LANGCACHE_DEBUG` is set."""

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


class Unused:
    """Stands where the client wants connections for an event loop, so that it opens none."""

    async def send(self, request: httpx.Request, **given: Any) -> httpx.Response:
        """Nobody asks."""
        raise NotImplementedError

    def build_request(self, method: str, url: Any, **given: Any) -> httpx.Request:
        """Nobody asks."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing is open."""


def millis(seconds: float) -> int:
    """Seconds as the service wants them."""
    return max(1, min(LONGEST_MILLIS, math.ceil(1000 * seconds)))


def answered(ask: Callable[[], T], *, fine: int | None = None) -> T | Refused | None:
    """What the service says. A broad guard: whatever a broken service brings about, nothing was found.

    Args:
        ask: Asks it.
        fine: A status that means that there is nothing; None for none.
    """
    from langcache.errors import LangCacheError, ResponseValidationError

    try:
        return ask()
    except ResponseValidationError:
        return Refused(why="LangCache answered what cannot be understood")
    except LangCacheError as error:
        status, pause = error.status_code, error.headers.get("retry-after", "")
        if status == fine:
            return None
        seconds = float(pause) if pause.isdecimal() else 0.0
        why = f"LangCache answered {status}{HINTS.get(status, '')}"
        return Refused(why=why, is_ours=status == TOO_LARGE, pause_seconds=seconds)
    except Exception as error:
        return Refused(why=f"LangCache does not answer: {type(error).__name__}")


def check_installed() -> None:
    """Raise where the service's client is not installed.

    Raises:
        ConfigError: It is not.
    """
    if find_spec("langcache") is None:
        raise ConfigError(
            "AnswerCache(langcache=…) needs 'langcache', which is not installed; pip install 'steprouter[langcache]'"
        )
