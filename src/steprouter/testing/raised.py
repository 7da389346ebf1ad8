"""What in-process models raise where a provider's SDK would raise its own errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .faults import ErrorEvent, Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedResponse:
    """The part of an HTTP response that SDK errors are asked for.

    Attributes:
        status_code: HTTP status.
        headers: Names in lower case, `retry-after` among them where one was scripted.
    """

    status_code: int
    headers: Mapping[str, str]


class SimulatedError(Exception):
    """What an in-process model raises for a `Rejection`, with the attributes of OpenAI's SDK errors.

    Attributes:
        status_code: HTTP status.
        code: Machine-readable reason, such as `context_length_exceeded`.
        body: The inner error object.
        response: Status and headers.
    """

    def __init__(self, rejection: Rejection, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"Error code: {rejection.status} - {rejection.message}")
        self.status_code = rejection.status
        self.code = rejection.code
        self.body: dict[str, Any] = rejection.body["error"]
        self.response = SimulatedResponse(
            status_code=rejection.status, headers={**rejection.headers, **(headers or {})}
        )


class SimulatedStreamError(Exception):
    """What an in-process model raises for an `ErrorEvent`: like OpenAI's SDK, without a status.

    Attributes:
        code: Machine-readable reason.
        body: The inner error object.
    """

    def __init__(self, error: ErrorEvent) -> None:
        super().__init__(error.text)
        self.code = error.code
        self.body: dict[str, Any] = {"message": error.text, "type": "server_error", "param": None, "code": error.code}
