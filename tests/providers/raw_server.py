"""A server that answers with bytes as a test wrote them, so that any cut, pause and oddity can be had."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self

Act = bytes | float | threading.Event | Literal["reset", "hold"]
"""Bytes to send, seconds to wait, an event to wait for, `reset` for a TCP RST, `hold` until the client goes."""


class RawServer:
    """Answers each request with the next list of acts, the last list for ever.

    Attributes:
        requests: Heads and bodies of all requests, in order.
        gone: Set once a client has closed a connection on which the server holds.
        connections: Connections accepted so far.
    """

    def __init__(self, *answers: Sequence[Act]) -> None:
        self.answers = [list(answer) for answer in answers]
        self.requests: list[tuple[bytes, bytes]] = []
        self.gone = threading.Event()
        self.connections = 0
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(2)
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._sockets.append(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while (request := read_request(connection)) is not None:
                    with self._lock:
                        self.requests.append(request)
                        acts = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    if not self._play(connection, acts):
                        return
            except OSError:
                return

    def _play(self, connection: socket.socket, acts: Iterable[Act]) -> bool:
        for act in acts:
            if isinstance(act, bytes):
                connection.sendall(act)
            elif isinstance(act, float):
                if self._ending.wait(act):
                    return False
            elif isinstance(act, threading.Event):
                act.wait(5)
            elif act == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            else:
                if connection.recv(1) == b"":
                    self.gone.set()
                return False
        return b"connection: close" not in b"".join(act for act in acts if isinstance(act, bytes)).lower()


def read_request(connection: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65536)
    return head, body


def head(status: str = "200 OK", content_type: str = "text/event-stream", **headers: str) -> bytes:
    """A response whose body lasts until the connection is closed."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{more}connection: close\r\n\r\n".encode()


def rejection(status: str, body: bytes = b"{}", content_type: str = "application/json", **headers: str) -> list[Act]:
    return [head(status, content_type, **headers) + body]


def event(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def text_event(text: str) -> bytes:
    return event({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]})


def finish_event(reason: str = "stop") -> bytes:
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return event({"object": "chat.completion.chunk", "choices": [choice]})


DONE = event(b"[DONE]")
