"""Who may play and what was played: the part of the simulated provider that knows nothing of HTTP."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock

from .admission import Rejected, reject
from .faults import Fault, Rejection
from .plan import FaultPlan
from .reply import Reply
from .request import Headers, Request
from .responses_background import KeptResponses
from .rewriting import rewritten
from .script import Reel, Script, ScriptExhausted
from .wire import Wire


class Stage:
    """Models with their scripts, and a record of what they were asked. Safe between threads.

    Attributes:
        kept: Responses that can be asked for again.
    """

    def __init__(self, scripts: Mapping[str, Script], *, api_key: str | None, faults: FaultPlan | None = None) -> None:
        self._reels = {model: Reel(script) for model, script in scripts.items()}
        self.kept = KeptResponses()
        self._api_key = api_key
        self._plan = faults
        self._down: Rejection | None = None
        self._requests: list[Request] = []
        self._rejections: list[Rejection] = []
        self._faults: dict[int, Fault] = {}
        self._lock = Lock()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order they were given."""
        with self._lock:
            return tuple(self._reels)

    @property
    def requests(self) -> tuple[Request, ...]:
        """Requests that reached a model."""
        with self._lock:
            return tuple(self._requests)

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """Answers to requests that reached no model."""
        with self._lock:
            return tuple(self._rejections)

    @property
    def faults_met(self) -> tuple[Fault, ...]:
        """The faults that requests met, in the order of the requests."""
        with self._lock:
            return tuple(self._faults[number] for number in sorted(self._faults))

    def play(self, model: str, script: Script) -> None:
        """Give a model, new or known, a script that starts with its next call."""
        reel = Reel(script)
        with self._lock:
            self._reels[model] = reel

    def outage(self, rejection: Rejection | None) -> None:
        """Answer everything with an error from now on; None ends that."""
        with self._lock:
            self._down = rejection

    def check_up(self) -> None:
        """Refuse while there is an outage."""
        with self._lock:
            down = self._down
        if down is not None:
            raise Rejected(down)

    def enter(self, wire: Wire, body: bytes, headers: Mapping[str, str]) -> tuple[Request, Reply]:
        """Admit a request and find its reply; what goes wrong is a reply too."""
        try:
            self.check_up()
            self.check_key(wire.key(Headers(headers)))
            request = admitted(wire, body, headers)
            reel = self.reel(request.model)
        except Rejected as rejected:
            with self._lock:
                self._rejections.append(rejected.rejection)
            raise
        with self._lock:
            request = reel.number(request)
            self._requests.append(request)
            number = len(self._requests)
        return request, self.reply(reel, request, number)

    def reel(self, model: str) -> Reel:
        """The script of a model, or a 404."""
        with self._lock:
            reel = self._reels.get(model)
        if reel is None:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise Rejected(Rejection(status=404, message=message))
        return reel

    def check_key(self, given: str) -> None:
        """Refuse a wrong or missing key, if keys matter here."""
        if self._api_key is None or hmac.compare_digest(given.encode(), self._api_key.encode()):
            return
        raise Rejected(Rejection(status=401))

    def reply(self, reel: Reel, request: Request, number: int) -> Reply:
        """The reply to a numbered request, with the fault that a plan lays over it."""
        try:
            reply = reel.reply(request)
            planned = self._plan.decide(number, request) if self._plan else None
            reply = reply if planned is None else replace(reply, fault=planned)
            if reply.fault is not None:
                with self._lock:
                    self._faults[number] = reply.fault
            return rewritten(reply, request)
        except ScriptExhausted as error:
            code, message = "script_exhausted", str(error)
        except Exception as error:  # a script's own mistake must reach the test that wrote it
            code, message = "script_failed", f"The script raised {error!r}"
        # 400, not 500: no client retries it or fails over, so the message is seen.
        return Reply(fault=Rejection(status=400, code=code, message=message))


def admitted(wire: Wire, body: bytes, headers: Mapping[str, str]) -> Request:
    """The request in a body.

    Raises:
        Rejected: The body is not what the format's API would accept.
    """
    try:
        return wire.read(body, headers)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The readers check what clients get wrong, not the type of every field that might be sent.
        raise reject(f"Invalid type: a field of the request is not what it should be ({error}).") from error
