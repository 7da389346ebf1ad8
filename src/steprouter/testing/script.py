"""Which reply comes when: scripts, and the reel that plays one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from threading import Lock

from .reply import Reply
from .request import Request

Script = Reply | Iterable[Reply] | Callable[[Request], Reply]
"""What a model answers.

* One `Reply` is the answer to every call.
* An iterable of replies is exact: each is used once, in order, and a further call is an error, so that a
  call nobody expected does not pass unseen. `itertools.chain([fail(503)], itertools.repeat(say("ok")))`
  goes on for ever.
* A callable is asked each time, possibly from several threads at once.
"""


class ScriptExhausted(AssertionError):
    """A model was called more often than its list of replies provides for."""


class Reel:
    """A script being played for one model. May be used from several threads."""

    def __init__(self, script: Script) -> None:
        known = isinstance(script, Reply | Iterable) or callable(script)
        if not known or isinstance(script, str):
            raise TypeError(
                f"a script must be a Reply, an iterable of them, or a callable (Request) -> Reply, "
                f"got {script!r}; for plain words write say({script!r})"
            )
        self._script = script
        self._replies = iter(script) if isinstance(script, Iterable) else iter(())
        self._given: list[Reply] = []
        self._calls = 0
        self._lock = Lock()

    def number(self, request: Request) -> Request:
        """The request with its place in the order of calls."""
        with self._lock:
            self._calls += 1
            return replace(request, call=self._calls)

    def reply(self, request: Request) -> Reply:
        """The reply to a numbered request: the same call number always gets the same line of a list.

        Raises:
            ScriptExhausted: The list has no reply left for this call.
            TypeError: The script gave something else than a `Reply`.
        """
        match self._script:
            case Reply() as reply:
                return reply
            case Iterable():
                reply = self._line(request)
            case script:
                reply = script(request)
        if not isinstance(reply, Reply):
            raise TypeError(f"a script must give Reply values, got {reply!r}; for plain words write say(…)")
        return reply

    def _line(self, request: Request) -> Reply:
        with self._lock:
            # Lines are kept by number: two calls at once must not swap their replies.
            while len(self._given) < request.call:
                try:
                    self._given.append(next(self._replies))
                except StopIteration:
                    raise ScriptExhausted(
                        f"the script of model {request.model!r} must have a reply for every call, got call "
                        f"{request.call} with {len(self._given)} replies; add replies, or give a single "
                        "Reply to repeat it for ever"
                    ) from None
            return self._given[request.call - 1]
