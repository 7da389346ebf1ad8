"""A lock that survives a fork."""

from __future__ import annotations

import os
import threading


class Turn:
    """What only one thread of a process holds; a forked child has one of its own."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A new lock, in this process."""
        self.held = threading.Lock()
        self.process = os.getpid()

    @property
    def lock(self) -> threading.Lock:
        """The lock of this process."""
        if self.process != os.getpid():
            self.begin()  # a fork may have copied a lock that a thread held which it did not copy
        return self.held
