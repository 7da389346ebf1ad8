"""Who may play and what was played: the part of the simulated provider that knows nothing of HTTP."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from threading import Lock

from .admission import Rejected, read_request
from .faults import Rejection
from .reply import Reply
from .request import Request
from .script import Reel, Script, ScriptExhausted


class Stage:
    """Models with their scripts, and a record of what they were asked. Safe between threads."""

    def __init__(self, scripts: Mapping[str, Script], *, api_key: str | None) -> None:
        self._reels = {model: Reel(script) for model, script in scripts.items()}
        self._api_key = api_key
        self._requests: list[Request] = []
        self._rejections: list[Rejection] = []
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

    def play(self, model: str, script: Script) -> None:
        """Give a model, new or known, a script that starts with its next call."""
        reel = Reel(script)
        with self._lock:
            self._reels[model] = reel

    def enter(self, body: bytes, headers: Mapping[str, str]) -> tuple[Request, Reply]:
        """Admit a request and find its reply; what goes wrong is a reply too."""
        try:
            self.check_key(headers)
            request = read_request(body, headers)
            reel = self.reel(request.model)
        except Rejected as rejected:
            with self._lock:
                self._rejections.append(rejected.rejection)
            raise
        with self._lock:
            request = reel.number(request)
            self._requests.append(request)
        return request, scripted_reply(reel, request)

    def reel(self, model: str) -> Reel:
        """The script of a model, or a 404."""
        with self._lock:
            reel = self._reels.get(model)
        if reel is None:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise Rejected(Rejection(status=404, message=message))
        return reel

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Refuse a wrong or missing key, if keys matter here."""
        given = headers.get("Authorization") or ""
        if self._api_key is None or hmac.compare_digest(given.encode(), f"Bearer {self._api_key}".encode()):
            return
        raise Rejected(Rejection(status=401))


def scripted_reply(reel: Reel, request: Request) -> Reply:
    """The reply to a numbered request; a script that ran out or failed answers 400."""
    try:
        return reel.reply(request)
    except ScriptExhausted as error:
        code, message = "script_exhausted", str(error)
    except Exception as error:  # a script's own mistake must reach the test that wrote it
        code, message = "script_failed", f"The script raised {error!r}"
    # 400, not 500: no client retries it or fails over, so the message is seen.
    return Reply(fault=Rejection(status=400, code=code, message=message))
