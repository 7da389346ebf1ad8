"""The guard around every call on the store: a broken store is a miss, and it costs its deadline once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from steprouter.memory.recall import Missing

log = logging.getLogger("steprouter.store")

FIRST_PROBE_SECONDS = 0.25
"""A restarting server is back within this time (18–250 ms measured)."""

SLOWEST_PROBE_SECONDS = 1.5
"""The longest a store that came back goes unnoticed, below 2 s; a probe costs less than 0.1 ms, or the deadline."""

PROBE_SHARE = 0.1
"""Probes wait this share of the time the store has been away: noticed within a tenth of the outage."""


def pause(away_seconds: float) -> float:
    """How long to wait before the next probe of a store that has been away so long."""
    return min(SLOWEST_PROBE_SECONDS, max(FIRST_PROBE_SECONDS, PROBE_SHARE * away_seconds))


class Health:
    """Whether the store answers, as one process sees it; probes it in the background while it does not.

    Args:
        probe: Asks the store once; `None` if it answered, else what is wrong. Called from another thread.
        name: The store, for the log; without password.
    """

    def __init__(self, probe: Callable[[], str | None], name: str) -> None:
        self.probe = probe
        self.name = name
        self.missing: Missing | None = None
        self.healed_at = 0.0
        self.lock = threading.Lock()
        self.has_ended = threading.Event()

    def fall(self, reason: str, *, began_at: float) -> Missing:
        """Notes that a call failed and gives what the call gives.

        Args:
            reason: What is wrong.
            began_at: When the call began, monotonic; a call from before the last recovery proves nothing.
        """
        with self.lock:
            if self.missing is not None:
                return self.missing
            missing = Missing(reason=f"store degraded: {reason}")
            if began_at < self.healed_at:
                return missing
            self.missing = missing
            log.warning("%s does not answer and is bypassed until it does: %s", self.name, reason)
            threading.Thread(target=self.heal, args=(time.monotonic(),), name="steprouter-probe", daemon=True).start()
            return missing

    def heal(self, fell_at: float) -> None:
        """Probes until the store answers or nobody uses it any more; the thread ends with that."""
        while True:
            if self.has_ended.wait(pause(time.monotonic() - fell_at)):
                return
            if self.probe() is None:
                break
        with self.lock:
            self.missing = None
            self.healed_at = time.monotonic()
        log.info("%s answers again after %.1f s", self.name, self.healed_at - fell_at)

    def end(self) -> None:
        """Ends the probing for good."""
        self.has_ended.set()
