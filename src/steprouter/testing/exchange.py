"""HTTP as the simulated provider speaks it: one exchange of a request for an answer, and the server."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread, current_thread
from typing import Any, Literal
from uuid import uuid4

from .admission import Rejected
from .faults import Cut, HangUp, Raise, Rejection
from .reply import Reply
from .request import Request
from .speech import speak
from .stage import Stage
from .wire import Completion, event


class Closed(Exception):
    """The exchange is over and its connection with it."""


class LoopbackServer(ThreadingHTTPServer):
    """A server on 127.0.0.1 that knows its connections, so that it can end them at once."""

    daemon_threads = True
    request_queue_size = 128  # the default of 5 makes bursts of clients wait for a retried SYN

    def __init__(self, stage: Stage, port: int) -> None:
        self.stage = stage
        self.closing = Event()
        self._connections: dict[socket.socket, Thread] = {}
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), Exchange)

    def server_bind(self) -> None:
        """Bind without asking DNS for the host's name, as `HTTPServer` would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own."""
        thread = Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def stop(self) -> None:
        """Stop listening, end all connections and wait for their threads, one second each at most."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections.values():
            if thread is not current_thread():
                thread.join(timeout=1)


class Exchange(BaseHTTPRequestHandler):
    """Requests and answers on one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: LoopbackServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the host's name
        """Stay silent: what was asked is in the provider's record."""

    def handle_one_request(self) -> None:
        """Answer one request; a client that went away is no error here."""
        try:
            super().handle_one_request()
        except (Closed, ConnectionError):
            self.close_connection = True

    def do_GET(self) -> None:
        """Answer `/health` and `/v1/models`."""
        if self.path == "/health":
            self.send_json(200, {"status": "ok"})
        elif self.path == "/v1/models":
            listed = [
                {"id": name, "object": "model", "created": 0, "owned_by": "simulated"}
                for name in self.server.stage.models
            ]
            self.send_json(200, {"object": "list", "data": listed})
        else:
            self.reject(Rejection(status=404, code="unknown_url", message=f"Unknown URL: GET {self.path}"))

    def do_POST(self) -> None:
        """Answer `/v1/chat/completions`."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True  # where the body ends, and the next request begins, is unknown
            self.reject(Rejection(status=411, message="Content-Length is required."))
            return
        body = self.rfile.read(int(length))
        if self.path.partition("?")[0] != "/v1/chat/completions":
            self.reject(Rejection(status=404, code="unknown_url", message=f"Unknown URL: POST {self.path}"))
            return
        try:
            request, reply = self.server.stage.enter(body, dict(self.headers.items()))
        except Rejected as rejected:
            self.reject(rejected.rejection)
            return
        match reply.fault:
            case Rejection() as rejection:
                self.pause(reply.first_token_seconds)
                self.reject(rejection, reply.headers)
            case HangUp(how=how):
                self.pause(reply.first_token_seconds)
                self.hang_up(how)
            case Raise(error=error):
                message = f"Raise({error!r}) is for in-process models; use Rejection, HangUp or Cut here"
                self.reject(Rejection(status=400, code="script_failed", message=message))
            case Cut() | None as cut:
                self.answer(request, reply, cut)

    def answer(self, request: Request, reply: Reply, cut: Cut | None) -> None:
        """Say a reply, streamed or at once."""
        completion = Completion(
            id=f"chatcmpl-{request.model}-{request.call}",
            created=int(time.time()),
            request=request,
            speech=speak(reply, request),
        )
        if request.stream:
            self.stream(completion, reply, cut)
        else:
            self.say_at_once(completion, reply, cut)

    def say_at_once(self, completion: Completion, reply: Reply, cut: Cut | None) -> None:
        """Send the answer as one JSON body, or the part of it that a cut leaves."""
        count = len(completion.speech.pieces)
        self.pause(reply.first_token_seconds + reply.seconds_per_chunk * max(0, count - 1))
        body = json.dumps(completion.whole(), ensure_ascii=False).encode()
        self.begin(200, "application/json", {**reply.headers, "content-length": str(len(body))})
        if cut is None:
            self.wfile.write(body)
        else:
            self.wfile.write(body[: len(body) * min(cut.after_chunks, count) // (count + 1)])
            self.hang_up("reset" if cut.how == "reset" else "drop")

    def stream(self, completion: Completion, reply: Reply, cut: Cut | None) -> None:
        """Send the answer as server-sent events, as far as a cut lets it."""
        self.begin(200, "text/event-stream", {**reply.headers, "transfer-encoding": "chunked"})
        self.pause(reply.first_token_seconds)
        self.send_events(completion.opening())
        kept = completion.speech.pieces if cut is None else completion.speech.pieces[: cut.after_chunks]
        for index, piece in enumerate(kept):
            self.pause(reply.seconds_per_chunk if index else 0)
            self.send_events(completion.piece(piece))
        if cut is None:
            self.send_events([*completion.closing(), "[DONE]"])
        elif cut.how != "close":
            self.hang_up(cut.how)
        # A clean end keeps the connection: closed, it might fail the client's next request on it.
        self.wfile.write(b"0\r\n\r\n")

    def send_events(self, values: list[Any]) -> None:
        """Send events together, in one HTTP chunk."""
        data = b"".join(event(value) for value in values)
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def hang_up(self, how: Literal["drop", "reset"]) -> None:
        """End the connection.

        Raises:
            Closed: Always.
        """
        if how == "reset":
            # Lingering for zero seconds makes close send RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            # Closed here, because the server would send a FIN first.
            self.connection.close()
        raise Closed

    def pause(self, seconds: float) -> None:
        """Wait for real, unless the provider is closing."""
        if seconds > 0 and self.server.closing.wait(seconds):
            raise Closed

    def reject(self, rejection: Rejection, headers: Mapping[str, str] | None = None) -> None:
        """Send an HTTP error."""
        headers = {**rejection.headers, **(headers or {})}
        if rejection.raw_body is None:
            self.send_json(rejection.status, rejection.body, headers)
        else:
            body = rejection.raw_body.encode()
            self.begin(rejection.status, "text/html", {**headers, "content-length": str(len(body))})
            self.wfile.write(body)

    def send_json(self, status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Send a whole JSON answer."""
        body = json.dumps(value, ensure_ascii=False).encode()
        self.begin(status, "application/json", {**(headers or {}), "content-length": str(len(body))})
        self.wfile.write(body)

    def begin(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """Send status and headers."""
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("x-request-id", f"req_{uuid4().hex}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
