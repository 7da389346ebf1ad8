"""A model provider on loopback: real HTTP and real streams, scripted answers; and addresses that lead nowhere."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from types import TracebackType
from typing import Self

from .faults import Fault, Rejection
from .plan import FaultPlan
from .request import Request
from .responses_background import Retrieval
from .script import Script
from .server import LoopbackServer
from .stage import Stage
from .traffic import Traffic

POLL_SECONDS = 0.02
"""How often the server looks whether it is to stop: the longest a test waits in `close`."""

UNRESOLVABLE_URL = "http://no-such-host.invalid/v1"
"""A base URL whose host has no address: DNS never resolves `.invalid` (RFC 6761, section 6.4)."""


@contextmanager
def refused_url() -> Iterator[str]:
    """A base URL that refuses connections, for certain: its port is taken, but nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


class SimulatedProvider:
    """A server that speaks three formats and answers by script.

    It offers OpenAI's Chat Completions (`POST /v1/chat/completions`) and Responses (`POST /v1/responses`),
    Anthropic's Messages (`POST /v1/messages`), all streamed or not, and `GET /v1/models` and `GET /health`. It
    refuses what the real APIs refuse. Nothing listens before `start` or `with`.

    A response that was asked for with `background` is kept whole, whatever fault its first stream met: it can be
    had again by `GET /v1/responses/{id}`, streamed from `starting_after` on, and ended by `POST …/cancel`.

        with SimulatedProvider({"small": [fail(503), say("Hello.")], "large": say("Good day.")}) as provider:
            ChatOpenAI(base_url=provider.url, api_key="x", model="small", max_retries=0)
            ChatOpenAI(base_url=provider.url, api_key="x", model="small", max_retries=0, use_responses_api=True)
            ChatAnthropic(base_url=provider.root_url, api_key="x", model="large", max_retries=0)

    Args:
        scripts: Each model's script; see `Script`. A model that is not named here answers 404.
        api_key: The key clients must send, as `Authorization: Bearer` or, to Messages, as `x-api-key`; None
            admits any and none.
        faults: Which requests meet which fault, whatever the script says.
        tls: Speaks HTTPS with this context; its certificate is yours to make, as clients must trust it or be
            seen not to. None speaks plain HTTP.
    """

    def __init__(
        self,
        scripts: Mapping[str, Script],
        *,
        api_key: str | None = None,
        faults: FaultPlan | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._stage = Stage(scripts, api_key=api_key, faults=faults)
        self._traffic = Traffic()
        self._tls = tls
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
        """The base URL for OpenAI's clients, such as `http://127.0.0.1:45301/v1`.

        Raises:
            RuntimeError: The provider was never started.
        """
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The base URL for Anthropic's clients, which add `/v1` themselves.

        Raises:
            RuntimeError: The provider was never started.
        """
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._known_port}"

    @property
    def tls_url(self) -> str:
        """`url` as HTTPS; without `tls` the handshake fails there, as the port answers in plain HTTP.

        Raises:
            RuntimeError: The provider was never started.
        """
        return f"https://127.0.0.1:{self._known_port}/v1"

    @property
    def _known_port(self) -> int:
        if not self._port:
            raise RuntimeError("url is known once the provider listens, got none yet; use `with` or start()")
        return self._port

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request that reached a model, in order of arrival."""
        return self._stage.requests

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """What was answered to requests that reached no model: malformed, wrong key, unknown model, outage."""
        return self._stage.rejections

    @property
    def faults_met(self) -> tuple[Fault, ...]:
        """The faults that requests met, from script or plan, in the order of the requests."""
        return self._stage.faults_met

    @property
    def retrievals(self) -> tuple[Retrieval, ...]:
        """The kept responses that were asked for, in order."""
        return self._stage.kept.retrievals

    @property
    def cancelled(self) -> tuple[str, ...]:
        """Ids of the kept responses that were cancelled, in order."""
        return self._stage.kept.cancelled

    def expire_responses(self) -> None:
        """Forget all kept responses: whoever asks for one gets a 404."""
        self._stage.kept.expire()

    @property
    def connections_opened(self) -> int:
        """Connections since the provider was made, TLS handshakes that failed included."""
        return self._traffic.connections_opened

    @property
    def connections_open(self) -> int:
        """Connections that are open now; clients keep some for their next request."""
        return self._traffic.connections_open

    @property
    def abandoned(self) -> tuple[Request, ...]:
        """Requests whose client went away while the provider was waiting or still had something to send.

        An answer that fits into the socket's buffers is sent whether or not it is read, so give the request a
        `Stall` to be sure.
        """
        return self._traffic.abandoned

    def wait_abandoned(self, count: int = 1, *, timeout_seconds: float = 10) -> bool:
        """Wait until `abandoned` holds that many requests; False if it does not in time.

        It blocks its thread: beside async clients call it by `asyncio.to_thread`, so that they can go away.
        """
        return self._traffic.wait_abandoned(count, timeout_seconds)

    def wait_no_connections(self, *, timeout_seconds: float = 10) -> bool:
        """Wait, blocking the thread, until all connections are closed; False if some are not in time."""
        return self._traffic.wait_no_connections(timeout_seconds)

    def requests_to(self, model: str) -> tuple[Request, ...]:
        """The requests that reached one model."""
        return tuple(request for request in self.requests if request.model == model)

    def play(self, model: str, script: Script) -> None:
        """Give a model, new or known, a script that starts with its next call; calls count from 1 again."""
        self._stage.play(model, script)

    def down(self, status: int = 503, *, retry_after_seconds: float | None = None) -> None:
        """Answer everything with an HTTP error, until `up`; scripts and plans do not move on meanwhile.

        Answers that are on their way are finished. `close` is the other outage: it refuses connections.

        Raises:
            ValueError: `status` is no HTTP error.
        """
        self._stage.outage(Rejection(status=status, retry_after_seconds=retry_after_seconds))

    def up(self) -> None:
        """End an outage; nothing happens if there is none."""
        self._stage.outage(None)

    def start(self) -> None:
        """Begin to listen; after `close` on the same port as before, as a restarted server would.

        Raises:
            RuntimeError: It listens already.
            OSError: The port is taken by now.
        """
        if self._server is not None:
            raise RuntimeError(f"a provider listens once, got start() while at {self.url!r}; close() first")
        self._server = LoopbackServer(self._stage, self._traffic, self._port, self._tls)
        self._port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def close(self) -> None:
        """End all connections, amid an answer too, and refuse new ones; nothing happens if it is closed."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
