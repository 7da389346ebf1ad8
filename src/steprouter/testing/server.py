"""The loopback server under the simulated provider."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from http.server import ThreadingHTTPServer
from threading import Event, Lock, Thread, current_thread
from typing import Any

from .exchange import Exchange
from .stage import Stage
from .traffic import Traffic


class LoopbackServer(ThreadingHTTPServer):
    """A server on 127.0.0.1 that knows its connections, so that it can end them at once."""

    daemon_threads = True
    request_queue_size = 128  # the default of 5 makes bursts of clients wait for a retried SYN

    def __init__(self, stage: Stage, traffic: Traffic, port: int, tls: ssl.SSLContext | None) -> None:
        self.stage = stage
        self.traffic = traffic
        self.closing = Event()
        self._tls = tls
        self._connections: dict[socket.socket, Thread] = {}
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), Exchange)

    def server_bind(self) -> None:
        """Bind without asking DNS for the host's name, as `HTTPServer` would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; its first read does the TLS handshake, so that no client can hold up the others."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own."""
        thread = Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._connections[request] = thread
        self.traffic.opened()
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            thread = self._connections.pop(request, None)
        super().shutdown_request(request)
        if thread is not None:
            self.traffic.closed()

    def stop(self) -> None:
        """Stop listening, end all connections and wait for their threads, one second each at most."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with suppress(OSError):
                # Of the plain socket: over TLS its own method would pull the rug from under a reading thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in connections.values():
            if thread is not current_thread():
                thread.join(timeout=1)
