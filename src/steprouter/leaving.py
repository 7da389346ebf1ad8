"""Ends answers that their providers go on with although nobody will listen to them any more."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from .answering.cursor import Cursor
from .answering.patience import Timeouts

log = logging.getLogger("steprouter")

CANCELLING = Timeouts(connect=2.0, first_token=5.0, idle=5.0)
"""A provider that does not take a cancellation in this time is left to end by itself."""


class Cancels(Protocol):
    """A wire whose provider goes on with answers while nobody listens."""

    def cancel(self, cursor: Cursor, timeouts: Timeouts) -> None:
        """Have the model stop."""
        ...


class Leavings:
    """Cancels answers in threads of its own, since whoever leaves waits for nothing. Safe in threads."""

    def __init__(self) -> None:
        self.threads: set[threading.Thread] = set()

    def cancel(self, wire: Cancels, cursor: Cursor, model: str) -> None:
        """Have a model stop; takes no time. What fails is logged, as nobody is there to be told."""

        def run() -> None:
            try:
                wire.cancel(cursor, CANCELLING)
            except Exception as error:  # as broad as the driver's guards: whatever a wire raises about a call
                log.warning("model %r goes on with an answer that nobody wants: %s", model, type(error).__name__)
            finally:
                self.threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="steprouter-cancel", daemon=True)
        self.threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is on its way out
            self.threads.discard(thread)

    def wait(self, seconds: float) -> None:
        """Wait until what was cancelled is, but no longer than this for each."""
        for thread in list(self.threads):
            thread.join(seconds)
