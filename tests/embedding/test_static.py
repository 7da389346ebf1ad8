"""The table in the package keeps what `Embedder` promises, and knows related requests from others."""

import hashlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.embedding import StaticEmbedder
from steprouter.embedding.static import CHARACTERS_READ
from steprouter.embedding.table import DIMENSION, HERE, PIECES, SCALES, VECTORS, VERSION, load, quantised, save

EMBEDDER = StaticEmbedder()
HOSTILE = [
    "",
    " \n\t",
    "\ud800",
    "refund \udfff",
    "😀" * 50,
    "\x00" * 9,
    "中文",
    "a" * 5000,
    "\u0301" * 300,
    "🏴\u200d" * 3000,
]


@given(st.text())
def test_every_text_gets_a_vector_of_unit_length(text):
    vector = EMBEDDER.embed(text)
    assert (vector.shape, vector.dtype) == ((DIMENSION,), np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_a_hostile_text_gets_a_vector_of_unit_length_too(text):
    assert np.linalg.norm(EMBEDDER.embed(text)) == pytest.approx(1, abs=1e-5)


@given(st.text())
def test_the_same_text_gets_the_same_vector_each_time(text):
    assert np.array_equal(EMBEDDER.embed(text), StaticEmbedder().embed(text))


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_upper_and_lower_case_get_the_same_vector(text):
    assert np.array_equal(EMBEDDER.embed(text.upper()), EMBEDDER.embed(text.lower()))


@given(st.lists(st.text(), max_size=5))
def test_many_texts_get_the_vectors_each_gets_alone(texts):
    together = EMBEDDER.embed_many(texts)
    assert together.shape == (len(texts), DIMENSION)
    assert all(np.array_equal(row, EMBEDDER.embed(text)) for row, text in zip(together, texts, strict=True))


def test_texts_without_words_share_one_vector_that_is_near_no_request():
    empty = EMBEDDER.embed("")
    assert np.array_equal(empty, EMBEDDER.embed(" \u200b\n"))
    assert abs(empty @ EMBEDDER.embed("cancel my order and refund the card")) < 0.2


def test_only_the_first_characters_of_a_long_text_count():
    beginning = "word " * CHARACTERS_READ
    assert np.array_equal(EMBEDDER.embed(beginning), EMBEDDER.embed(beginning + "and " * 250_000))


def test_a_paraphrase_is_nearer_than_another_request():
    asked, same, other = EMBEDDER.embed_many(
        ["My card was charged twice", "I paid two times with my credit card", "Write a function that sorts a list"]
    )
    assert asked @ same > asked @ other + 0.3


def test_the_identity_names_model_version_and_dimension():
    assert EMBEDDER.identity == "steprouter-static-1/256"


def test_making_an_embedder_reads_nothing(tmp_path):
    assert StaticEmbedder(tmp_path / "nowhere", name="mine").identity == "mine/256"


def test_importing_the_package_imports_no_numpy_and_reads_no_table():
    script = "import sys, steprouter.embedding; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_forked_process_gives_the_vectors_of_its_parent():
    script = """
import os
from steprouter.embedding import StaticEmbedder
embedder = StaticEmbedder()
before = embedder.embed("refund")
child = os.fork()
if child == 0:
    os._exit(0 if (embedder.embed("refund") == before).all() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_threads_that_race_for_the_first_use_get_the_same_vectors():
    fresh, found = StaticEmbedder(), []
    threads = [threading.Thread(target=lambda: found.append(fresh.embed("the first use"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(vector, EMBEDDER.embed("the first use")) for vector in found)
    assert len(found) == 8


def test_an_event_loop_may_call_it_without_a_thread():
    assert EMBEDDER.blocks is False


def test_a_changed_table_has_another_version():
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in (VECTORS, SCALES, PIECES))).hexdigest()
    assert (VERSION, digest[:16]) == (1, "d543b8cba4d063e2")


def test_the_files_take_less_than_eight_megabytes():
    assert sum((HERE / name).stat().st_size for name in (VECTORS, SCALES, PIECES)) < 8_000_000


def test_a_table_comes_back_from_disk_as_it_was_saved(tmp_path):
    table = quantised(np.array([[1, -2], [0, 0]], dtype=np.float32), {"[UNK]": 0, "\u2028": 1})
    save(table, tmp_path)
    again = load(tmp_path)
    assert again.pieces == table.pieces
    assert np.array_equal(again.vectors, [[64, -127], [0, 0]])
    assert np.array_equal(again.scales, table.scales)
