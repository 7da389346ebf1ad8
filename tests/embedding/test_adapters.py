"""Other people's embedders keep our promises once adapted."""

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-untyped]  # it has no types

from steprouter.embedding import Embedder, LangChainEmbedder, VectorizerEmbedder
from steprouter.errors import ConfigError


class Lengths(Embeddings):
    """A LangChain embedder that refuses empty texts, as most servers do."""

    def embed_query(self, text: str) -> list[float]:
        assert text.strip()
        return [float(len(text)), 3.0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("a step is compared with steps; none is a document")


class Vectorizer:
    """A redisvl vectorizer's face."""

    model = "lengths"

    def __init__(self, dims: int | None = 2, vector: list[float] | None = None) -> None:
        self.dims = dims
        self.vector = vector

    def embed(self, content: str) -> list[float]:
        return self.vector or [float(len(content)), 3.0]

    def embed_many(self, contents: list[str]) -> list[list[float]]:
        return [self.embed(content) for content in contents]


ADAPTED = [LangChainEmbedder(Lengths(), model="lengths", dimension=2), VectorizerEmbedder(Vectorizer())]


@pytest.fixture(params=ADAPTED, ids=["langchain", "redisvl"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    adapted: Embedder = request.param
    return adapted


def test_a_foreign_vector_leaves_at_unit_length(embedder):
    assert embedder.embed("four") == pytest.approx([0.8, 0.6])
    assert embedder.embed("four").dtype == np.float32


def test_an_adapted_embedder_gives_many_as_it_gives_one(embedder):
    together = embedder.embed_many(["four", "", "sixsix"])
    assert np.array_equal(together, [embedder.embed(text) for text in ("four", "", "sixsix")])


def test_no_texts_give_no_rows(embedder):
    assert embedder.embed_many([]).shape == (0, 2)


def test_a_text_without_words_is_not_sent_and_gets_the_last_axis(embedder):
    assert np.array_equal(embedder.embed(" \n"), [0, 1])


def test_the_identity_of_an_adapted_embedder_names_library_model_and_dimension():
    assert [one.identity for one in ADAPTED] == ["langchain:lengths/2", "redisvl:lengths/2"]


def test_a_vectorizer_that_does_not_know_its_dimension_is_refused():
    with pytest.raises(ConfigError, match="must know its dims, got None"):
        VectorizerEmbedder(Vectorizer(dims=None))


def test_a_vector_of_another_dimension_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"'langchain:lengths/3' must give 3 numbers, gave shape \(2,\)"):
        LangChainEmbedder(Lengths(), model="lengths", dimension=3).embed("four")


def test_a_vector_with_a_number_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="must give finite numbers"):
        VectorizerEmbedder(Vectorizer(vector=[float("nan"), 1.0])).embed("four")


def test_an_embedder_that_loses_a_text_is_refused():
    vectorizer = Vectorizer()
    vectorizer.embed_many = lambda contents: []  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="must give a vector for each text, gave 0 for 2"):
        VectorizerEmbedder(vectorizer).embed_many(["four", "five"])


def test_langchains_own_embedder_keeps_our_promises_once_adapted():
    embedder = LangChainEmbedder(DeterministicFakeEmbedding(size=8), model="fake", dimension=8)
    assert np.linalg.norm(embedder.embed("refund")) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(embedder.embed_many(["refund", ""])[0], embedder.embed("refund"))


@pytest.fixture
def custom() -> CustomVectorizer:
    return CustomVectorizer(embed=lambda text: [3.0, 4.0], embed_many=lambda texts: [[3.0, 4.0] for _ in texts])


def test_redisvls_own_vectorizer_keeps_our_promises_once_adapted(custom):
    embedder = VectorizerEmbedder(custom, model="mine-1")
    assert embedder.identity == "redisvl:mine-1/2"
    assert embedder.embed("refund") == pytest.approx([0.6, 0.8])
    assert np.array_equal(embedder.embed_many(["refund", ""]), [embedder.embed("refund"), [0, 1]])


def test_a_custom_vectorizer_without_a_name_is_refused_as_all_share_one(custom):
    with pytest.raises(ConfigError, match="must tell its model, got 'custom'"):
        VectorizerEmbedder(custom)


def test_adapted_embedders_say_that_they_may_block():
    assert all(one.blocks for one in ADAPTED)
