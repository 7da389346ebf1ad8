"""Text to vector: what an embedder promises, one that needs no model, and adapters for other people's.

`StaticEmbedder` is the default; `docs/embedding.md` says how it was made and how good it is. Nothing is read and
numpy is not imported before a name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapters import LangChainEmbedder, VectorizerEmbedder
    from .choose import embedder_of
    from .embedder import Embedder
    from .onnx import OnnxEmbedder
    from .static import StaticEmbedder

__all__ = [
    "Embedder",
    "LangChainEmbedder",
    "OnnxEmbedder",
    "StaticEmbedder",
    "VectorizerEmbedder",
    "embedder_of",
]

HOMES = {
    "Embedder": "embedder",
    "LangChainEmbedder": "adapters",
    "OnnxEmbedder": "onnx",
    "StaticEmbedder": "static",
    "VectorizerEmbedder": "adapters",
    "embedder_of": "choose",
}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
