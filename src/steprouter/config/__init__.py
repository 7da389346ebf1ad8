"""Settings from a YAML file and the environment, as small frozen values.

document    a YAML file whose values know their lines and whose secrets stay hidden
complaints  what is said about wrong fields
place       where traces are kept
fields      everything the file may hold
settings    all of it as cards, policy and places
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .place import FILE_NAME, StorePlace, load_place

if TYPE_CHECKING:
    from .settings import RouterConfig, load, load_answers

__all__ = ["FILE_NAME", "RouterConfig", "StorePlace", "load", "load_answers", "load_place"]


def __getattr__(name: str) -> Any:
    """The settings proper, imported when asked for: LangChain takes a second to load."""
    if name in ("RouterConfig", "load", "load_answers"):
        from . import settings

        return getattr(settings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
