"""The command `steprouter`: shows what a router did and why, says what it would do, examines an installation."""

from .commands import app

__all__ = ["app"]
