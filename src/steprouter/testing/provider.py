"""A model provider on loopback: real HTTP and real streams, scripted answers."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from types import TracebackType
from typing import Self

from .exchange import LoopbackServer
from .faults import Rejection
from .request import Request
from .script import Script
from .stage import Stage

POLL_SECONDS = 0.02
"""How often the server looks whether it is to stop: the longest a test waits in `close`."""


class SimulatedProvider:
    """A server that speaks OpenAI's Chat Completions and answers by script.

    It offers `POST /v1/chat/completions`, streamed or not, `GET /v1/models` and `GET /health`, and refuses
    what the real API refuses. Nothing listens before `start` or `with`.

        with SimulatedProvider({"small": [fail(503), say("Hello.")], "large": say("Good day.")}) as provider:
            model = ChatOpenAI(base_url=provider.url, api_key="x", model="small", max_retries=0)

    Args:
        scripts: Each model's script; see `Script`. A model that is not named here answers 404.
        api_key: The key clients must send; None admits any and none.
    """

    def __init__(self, scripts: Mapping[str, Script], *, api_key: str | None = None) -> None:
        self._stage = Stage(scripts, api_key=api_key)
        self._server: LoopbackServer | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The base URL for clients, such as `http://127.0.0.1:45301/v1`.

        Raises:
            RuntimeError: The provider was never started.
        """
        if not self._port:
            raise RuntimeError("url is known once the provider listens, got none yet; use `with` or start()")
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request that reached a model, in order of arrival."""
        return self._stage.requests

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """What was answered to requests that reached no model: malformed, wrong key, unknown model."""
        return self._stage.rejections

    def requests_to(self, model: str) -> tuple[Request, ...]:
        """The requests that reached one model."""
        return tuple(request for request in self.requests if request.model == model)

    def play(self, model: str, script: Script) -> None:
        """Give a model, new or known, a script that starts with its next call; calls count from 1 again."""
        self._stage.play(model, script)

    def start(self) -> None:
        """Begin to listen; after `close` on the same port as before, as a restarted server would.

        Raises:
            RuntimeError: It listens already.
            OSError: The port is taken by now.
        """
        if self._server is not None:
            raise RuntimeError(f"a provider listens once, got start() while at {self.url!r}; close() first")
        self._server = LoopbackServer(self._stage, self._port)
        self._port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def close(self) -> None:
        """End all connections, amid an answer too, and refuse new ones; nothing happens if it is closed."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
