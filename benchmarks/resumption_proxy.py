"""A way to a server on this machine that breaks answers off: a TCP reset after so many bytes of a response's body."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HEAD_END = b"\r\n\r\n"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST instead of FIN, and drops what was not sent."""


class CuttingProxy:
    """Passes bytes on between whoever connects and one server.

    Args:
        url: Base URL of the server.

    Attributes:
        cut_after: Bytes of the next response's body, as they lie on the wire, after which the connection is reset;
            None passes all of it on, as it does those after it.
        body_bytes: Bytes of the last response's body that were passed on.
    """

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        assert target.hostname is not None
        assert target.port is not None
        self.target = (target.hostname, target.port)
        self.cut_after: int | None = None
        self.body_bytes = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}{target.path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing alone leaves a thread in `accept` waiting.
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()

    def accept(self) -> None:
        """Take connections until closed."""
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(near,), daemon=True).start()

    def connect(self, near: socket.socket) -> None:
        """Both ways of one connection."""
        try:
            far = socket.create_connection(self.target)
        except OSError:
            near.close()
            return
        link = Link(self, near, far)
        threading.Thread(target=link.ask, daemon=True).start()
        link.answer()


class Link:
    """One connection to the server, and whose it is."""

    def __init__(self, proxy: CuttingProxy, near: socket.socket, far: socket.socket) -> None:
        self.proxy = proxy
        self.near = near
        self.far = far
        self.head = b""
        self.is_in_body = False
        self.left: int | None = None

    def ask(self) -> None:
        """Pass requests on; with each a new response is waited for."""
        try:
            while data := self.near.recv(65536):
                self.head, self.is_in_body, self.left = b"", False, None
                self.proxy.body_bytes = 0
                self.far.sendall(data)
        except OSError:
            pass  # it was reset; there is nobody to tell
        finally:
            close(self.far)

    def answer(self) -> None:
        """Pass responses on, as far as they may go."""
        try:
            while data := self.far.recv(65536):
                if not self.passed(data):
                    self.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                    # A thread that waits in `recv` keeps the socket open, and nothing would be sent.
                    self.near.shutdown(socket.SHUT_RD)
                    self.near.close()
                    return
        except OSError:
            pass
        finally:
            close(self.near)
            close(self.far)

    def passed(self, data: bytes) -> bool:
        """Whether all of `data` went on; False once the last byte that may has."""
        if not self.is_in_body:
            before = len(self.head)
            self.head += data
            end = self.head.find(HEAD_END)
            if end < 0:
                self.near.sendall(data)
                return True
            self.is_in_body = True
            self.left, self.proxy.cut_after = self.proxy.cut_after, None
            body_at = end + len(HEAD_END) - before
            self.near.sendall(data[:body_at])
            data = data[body_at:]
        allowed = data if self.left is None else data[: self.left]
        self.near.sendall(allowed)
        self.proxy.body_bytes += len(allowed)
        if self.left is None:
            return True
        self.left -= len(allowed)
        return self.left > 0


def close(connection: socket.socket) -> None:
    """End both directions, so that a thread that waits for it wakes."""
    with suppress(OSError):  # the other side may have been quicker
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
