"""The command `steprouter`: shows what a router did and why, says what it would do, examines an installation."""

from .cache import cache_app
from .calibrate import calibrate_routes
from .commands import app
from .memory import memory_app
from .train import train_predictor

app.add_typer(memory_app)
app.add_typer(cache_app)
app.command("train")(train_predictor)
app.command("calibrate")(calibrate_routes)

__all__ = ["app"]
