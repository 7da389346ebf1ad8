"""The command `steprouter`: shows what a router did and why, says what it would do, examines an installation."""

from .commands import app
from .memory import memory_app

app.add_typer(memory_app)

__all__ = ["app"]
