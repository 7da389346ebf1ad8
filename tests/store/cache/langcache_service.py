"""A LangCache service on this machine, as its OpenAPI description has it, with an embedder of its own."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from steprouter.caching import LangCacheService
from steprouter.embedding.static import StaticEmbedder

KEY = "a-very-secret-api-key"
CACHE = "cache-1"
ATTRIBUTES = ("tenant", "scope", "user", "thread", "tag")
USUAL_THRESHOLD = 0.85

WORDS = {
    400: ("Invalid Request", "/errors/invalid-data"),
    401: ("Unauthorized", "/errors/authentication-failed"),
    403: ("Forbidden", "/errors/insufficient-permissions"),
    404: ("Not found", "/errors/resource-not-found"),
    413: ("Payload too large", "/errors/payload-too-large"),
    424: ("Failed dependency", "/errors/resource-unavailable"),
    429: ("Too many requests", "/errors/too-many-requests"),
    500: ("Unexpected error", "/errors/unexpected-error"),
}


class Wrong(Exception):
    """A request that is refused."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass
class Kept:
    """What the service keeps."""

    prompt: str
    response: str
    attributes: dict[str, str]
    ttl_millis: int | None
    vector: Any = field(repr=False)


class LangCacheDouble:
    """What the service holds, what it was asked, and how it is broken.

    `fault` is a status, `garbage`, or `silence`: it answers nothing until `speak` is called.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.fault: int | str | None = None
        self.retry_after: str | None = None
        self.is_filtering = True
        self.attributes = ATTRIBUTES
        self.spoken = threading.Event()
        self.embedder = StaticEmbedder()
        self.lock = threading.Lock()

    @property
    def searches(self) -> int:
        return sum(path.endswith("/search") for _, path, _ in self.requests)

    def speak(self) -> None:
        self.fault = None
        self.spoken.set()

    def answer(self, method: str, path: str, key: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        if key != f"Bearer {KEY}":
            raise Wrong(401, "the token is not valid")
        found = re.fullmatch(r"/v1/caches/([^/]+)/(.+)", path)
        if found is None or found[1] != CACHE:
            raise Wrong(404, "there is no such cache")
        with self.lock:
            match method, found[2].split("/"):
                case "POST", ["entries"]:
                    return 201, {"entryId": self.set(body)}
                case "POST", ["entries", "search"]:
                    return 200, {"data": self.search(body)}
                case "DELETE", ["entries"]:
                    return 200, {"deletedEntriesCount": self.delete(body)}
                case "DELETE", ["entries", name]:
                    if self.kept.pop(name, None) is None:
                        raise Wrong(404, "there is no such entry")
                    return 204, None
                case "POST", ["flush"]:
                    self.kept.clear()
                    return 204, None
        raise Wrong(404, "there is nothing here")

    def set(self, body: dict[str, Any]) -> str:
        prompt, given = self.prompt_of(body), self.attributes_of(body)
        ttl = body.get("ttlMillis")
        if not (ttl is None or 1 <= ttl <= 31_556_952_000):
            raise Wrong(400, "ttlMillis is out of range")
        name = md5(json.dumps([prompt, given], sort_keys=True).encode()).hexdigest()
        self.kept[name] = Kept(prompt, body["response"], given, ttl, self.embedder.embed(prompt))
        return name

    def search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        prompt, wanted = self.prompt_of(body), self.attributes_of(body)
        least = body.get("similarityThreshold", USUAL_THRESHOLD)
        if not 0 <= least <= 1 or not set(body.get("searchStrategies", ["semantic"])) <= {"exact", "semantic"}:
            raise Wrong(400, "similarityThreshold or searchStrategies will not do")
        vector = self.embedder.embed(prompt)
        found: list[dict[str, Any]] = []
        for name, one in self.kept.items():
            likeness = (1 + float(np.dot(vector, one.vector))) / 2
            if likeness >= least and (not self.is_filtering or wanted.items() <= one.attributes.items()):
                told = {"prompt": one.prompt, "response": one.response, "attributes": one.attributes}
                found.append({"id": name, **told, "similarity": likeness, "searchStrategy": "semantic"})
        return sorted(found, key=lambda one: -one["similarity"])[: body.get("maxResults", 1)]

    def delete(self, body: dict[str, Any]) -> int:
        wanted = self.attributes_of(body)
        if not wanted:
            raise Wrong(400, "attributes must not be empty")
        gone = [name for name, one in self.kept.items() if wanted.items() <= one.attributes.items()]
        for name in gone:
            del self.kept[name]
        return len(gone)

    def prompt_of(self, body: dict[str, Any]) -> str:
        prompt = body.get("prompt")
        if not isinstance(prompt, str) or not 1 <= len(prompt) <= 1024:
            raise Wrong(400, "prompt must have 1 to 1024 characters")
        return prompt

    def attributes_of(self, body: dict[str, Any]) -> dict[str, str]:
        given = body.get("attributes") or {}
        if unknown := set(given) - set(self.attributes):
            raise Wrong(400, f"attributes are not configured: {sorted(unknown)}")
        if len(given) > 5 or not all(re.fullmatch(r"[^,]{1,500}", value) for value in given.values()):
            raise Wrong(400, "attributes will not do")
        return given


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet for each answer
    service: LangCacheDouble

    def handle_any(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        self.service.requests.append((self.command, self.path, body))
        fault, headers = self.service.fault, {}
        if fault == "silence":
            self.service.spoken.wait(20)
            self.close_connection = True
            return
        if fault == "garbage":
            self.say(200, {"data": [{"prompt": 7}]}, {})
            return
        try:
            if isinstance(fault, int):
                raise Wrong(fault, f"refused {body}")
            status, told = self.service.answer(self.command, self.path, self.headers.get("authorization"), body)
        except Wrong as wrong:
            title, kind = WORDS.get(wrong.status, ("", ""))
            status, told = wrong.status, {"title": title, "type": kind, "status": wrong.status, "detail": wrong.detail}
            headers = {"retry-after": self.service.retry_after} if self.service.retry_after else {}
        self.say(status, told, headers)

    do_POST = do_DELETE = do_GET = handle_any  # noqa: N815

    def say(self, status: int, told: Any, headers: dict[str, str]) -> None:
        content = b"" if told is None else json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Loopback(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that has gone is no matter."""


@contextmanager
def running() -> Iterator[tuple[LangCacheDouble, LangCacheService]]:
    """The service, and what a user writes to name it; with a deadline that a busy machine keeps."""
    double = LangCacheDouble()
    server = Loopback(("127.0.0.1", 0), type("OwnDoor", (Door,), {"service": double}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield double, LangCacheService(server_url=url, cache_id=CACHE, api_key=KEY, timeout_seconds=10)
    finally:
        double.speak()
        server.shutdown()
        server.server_close()
        thread.join()
