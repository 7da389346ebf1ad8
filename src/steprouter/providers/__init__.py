"""Wires to models: OpenAI-compatible servers over httpx, and any LangChain chat model."""

from __future__ import annotations

from .open import CheckableWire, open_wire
from .wire import Timeouts, Wire

__all__ = ["CheckableWire", "Timeouts", "Wire", "open_wire"]
