"""HTTP as the simulated provider speaks it: one exchange of a request for an answer."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Any, Literal, Never
from uuid import uuid4

from .admission import Rejected
from .chat_wire import CHAT
from .delivery import Delivery, at_once, streamed
from .faults import HangUp, Raise, Rejection, Stall
from .messages_wire import MESSAGES
from .reply import Reply
from .request import Headers, Request
from .responses_background import PATH as RESPONSE_PATH
from .responses_wire import RESPONSES
from .rewriting import afflicted
from .speech import speak
from .wire import Answer, Wire

if TYPE_CHECKING:
    from .server import LoopbackServer

WIRES: Mapping[str, Wire] = {wire.path: wire for wire in (CHAT, RESPONSES, MESSAGES)}


class Closed(Exception):
    """The exchange is over and its connection with it."""


class ClientLeft(ConnectionError):
    """The client went away before it had its answer."""


class Exchange(BaseHTTPRequestHandler):
    """Requests and answers on one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: LoopbackServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the host's name
        """Stay silent: what was asked is in the provider's record."""

    def handle_one_request(self) -> None:
        """Answer one request; a client that went away, or speaks no TLS, is no error here."""
        self.request_id = f"req_{uuid4().hex[:24]}"
        self.id_header = CHAT.id_header
        try:
            super().handle_one_request()
        except (Closed, ConnectionError, ssl.SSLError):
            self.close_connection = True

    def finish(self) -> None:
        """End the connection; over TLS there may be none left to flush."""
        with suppress(ssl.SSLError):
            super().finish()

    def do_GET(self) -> None:
        """Answer `/health`, `/v1/models` and responses that were kept."""
        try:
            self.server.stage.check_up()
            if self.path.startswith(RESPONSE_PATH):
                self.retrieve()
                return
        except Rejected as rejected:
            self.reject(CHAT, rejected.rejection)
            return
        if self.path == "/health":
            self.send_json(200, {"status": "ok"})
        elif self.path == "/v1/models":
            listed = [
                {"id": name, "object": "model", "created": 0, "owned_by": "simulated"}
                for name in self.server.stage.models
            ]
            self.send_json(200, {"object": "list", "data": listed})
        else:
            self.reject(CHAT, Rejection(status=404, code="unknown_url", message=f"Unknown URL: GET {self.path}"))

    def retrieve(self) -> None:
        """Send a response that was kept, from the event that was asked for.

        Raises:
            Rejected: It is not kept, or the key is wrong.
        """
        stage = self.server.stage
        stage.check_key(RESPONSES.key(Headers(dict(self.headers.items()))))
        delivery, headers = stage.kept.delivered(self.path)
        if delivery.length is None:
            self.begin(200, "text/event-stream", {**headers, "transfer-encoding": "chunked"})
        else:
            self.begin(200, "application/json", {**headers, "content-length": str(delivery.length)})
        self.deliver(delivery)

    def cancel(self) -> None:
        """End a response that was kept."""
        stage = self.server.stage
        try:
            stage.check_up()
            stage.check_key(RESPONSES.key(Headers(dict(self.headers.items()))))
            cancelled, headers = stage.kept.cancel(self.path)
            self.send_json(200, cancelled, headers)
        except Rejected as rejected:
            self.reject(RESPONSES, rejected.rejection)

    def do_POST(self) -> None:
        """Answer in the format whose path was asked."""
        path = self.path.partition("?")[0]
        wire = WIRES.get(path, CHAT)
        self.id_header = wire.id_header
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True  # where the body ends, and the next request begins, is unknown
            self.reject(wire, Rejection(status=411, message="Content-Length is required."))
            return
        body = self.rfile.read(int(length))
        if path.startswith(RESPONSE_PATH) and path.endswith("/cancel"):
            self.cancel()
            return
        if path not in WIRES:
            self.reject(wire, Rejection(status=404, code="unknown_url", message=f"Unknown URL: POST {self.path}"))
            return
        try:
            request, reply = self.server.stage.enter(wire, body, dict(self.headers.items()))
        except Rejected as rejected:
            self.reject(wire, rejected.rejection)
            return
        try:
            self.play(wire, request, reply)
        except (ConnectionError, ssl.SSLError):
            if not self.server.closing.is_set():
                self.server.traffic.abandon(request)
            raise

    def play(self, wire: Wire, request: Request, reply: Reply) -> None:
        """Do as the reply says."""
        match reply.fault:
            case Rejection() as rejection:
                self.pause(reply.first_token_seconds)
                self.reject(wire, rejection, reply.headers)
            case HangUp(how=how):
                self.pause(reply.first_token_seconds)
                self.hang_up(how)
            case Raise(error=error):
                message = f"Raise({error!r}) is for in-process models; use Rejection, HangUp or Cut here"
                self.reject(wire, Rejection(status=400, code="script_failed", message=message))
            case Stall(after_chunks=after) if after is None or not request.stream:
                self.stall()
            case _:
                self.answer(wire, request, reply)

    def answer(self, wire: Wire, request: Request, reply: Reply) -> None:
        """Say a reply, streamed or at once."""
        speech = afflicted(speak(reply, request), reply)
        answer = Answer(created=int(time.time()), request=request, speech=speech)
        self.server.stage.kept.keep(answer, wire, reply.headers)
        if request.stream:
            self.begin(200, "text/event-stream", {**reply.headers, "transfer-encoding": "chunked"})
            self.deliver(streamed(answer, reply, wire))
            return
        delivery = at_once(wire.whole(answer), len(speech.pieces), reply)
        self.pause(reply.first_token_seconds + reply.seconds_per_chunk * max(0, len(speech.pieces) - 1))
        self.begin(200, "application/json", {**reply.headers, "content-length": str(delivery.length)})
        self.deliver(delivery)

    def deliver(self, delivery: Delivery) -> None:
        """Send the parcels and end as the delivery ends."""
        is_chunked = delivery.length is None
        for parcel in delivery.parcels:
            self.pause(parcel.wait_seconds)
            if parcel.data:  # an empty chunk would be the last one
                self.wfile.write(b"%x\r\n%b\r\n" % (len(parcel.data), parcel.data) if is_chunked else parcel.data)
        match delivery.ending:
            case "stall":
                self.stall()
            case "drop" | "reset" as how:
                self.hang_up(how)
            case "close" if is_chunked:
                # A clean end keeps the connection: closed, it might fail the client's next request on it.
                self.wfile.write(b"0\r\n\r\n")

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

    def stall(self) -> Never:
        """Wait until the client goes away or the provider closes.

        Raises:
            ClientLeft: Always.
        """
        while True:
            self.listen(None)

    def pause(self, seconds: float) -> None:
        """Wait for real, unless the client goes away or the provider closes.

        Raises:
            ClientLeft: One of them did.
        """
        until = time.monotonic() + seconds
        while seconds > 0:
            self.listen(seconds)
            seconds = until - time.monotonic()

    def listen(self, seconds: float | None) -> None:
        """Wait at most that long for the connection to end; None waits for ever.

        Raises:
            ClientLeft: It ended.
        """
        with DefaultSelector() as selector:
            selector.register(self.connection, EVENT_READ)
            if not selector.select(seconds):
                return
        # No client sends a second request before its answer; if one did, the rest of it would be lost here.
        self.close_connection = True
        if not self.connection.recv(65536):
            raise ClientLeft

    def reject(self, wire: Wire, rejection: Rejection, headers: Mapping[str, str] | None = None) -> None:
        """Send an HTTP error in the words of a format."""
        headers = {**rejection.headers, **(headers or {})}
        if rejection.raw_body is None:
            self.send_json(rejection.status, wire.refusal(rejection, self.request_id), headers)
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
        self.send_header(self.id_header, self.request_id)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
