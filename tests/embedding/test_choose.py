"""What a user hands in becomes an embedder, or a complaint that says the way out."""

from types import SimpleNamespace

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from redisvl.utils.vectorize.base import BaseVectorizer  # type: ignore[import-untyped]  # it has no types

from steprouter.embedding import LangChainEmbedder, StaticEmbedder, VectorizerEmbedder, embedder_of
from steprouter.errors import ConfigError


class Named(DeterministicFakeEmbedding):
    """A LangChain embedder that tells its model, as most do."""

    model: str = "fake-2"


class Hosted(Embeddings):
    """A LangChain embedder that does not know its dimension, such as OpenAI's by default."""

    model_name = "text-embedding-3-small"
    dimensions = None

    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("choosing must not call the model")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("choosing must not call the model")


class Threes(BaseVectorizer):  # type: ignore[misc]  # nor has the class then
    """A redisvl vectorizer of our own."""

    def _embed(self, content: str, **_: object) -> list[float]:
        return [3.0, 4.0]

    def _embed_many(self, contents: list[str], **_: object) -> list[list[float]]:
        return [self._embed(content) for content in contents]


def test_nothing_given_means_the_table_in_the_package():
    assert embedder_of(None).identity == StaticEmbedder().identity


def test_an_embedder_of_our_own_kind_is_taken_as_it_is():
    given = StaticEmbedder()
    assert embedder_of(given) is given


def test_langchain_embeddings_that_tell_model_and_dimension_are_adapted():
    embedder = embedder_of(Named(size=8))
    assert isinstance(embedder, LangChainEmbedder)
    assert embedder.identity == "langchain:fake-2/8"


def test_langchain_embeddings_without_a_dimension_are_refused_without_a_call():
    with pytest.raises(ConfigError, match=r"does not tell its dimension; wrap it: .*model='text-embedding-3-small'"):
        embedder_of(Hosted())


def test_langchain_embeddings_without_a_model_are_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"does not tell its model; wrap it: .*model='\.\.\.', dimension=8"):
        embedder_of(DeterministicFakeEmbedding(size=8))


def test_a_redisvl_vectorizer_is_adapted_and_keeps_its_name():
    embedder = embedder_of(Threes(model="threes", dims=2))
    assert isinstance(embedder, VectorizerEmbedder)
    assert embedder.identity == "redisvl:threes/2"
    assert np.array_equal(embedder.embed("text"), np.array([0.6, 0.8], dtype=np.float32))


@pytest.mark.parametrize(
    "given", ["static", 7, object(), lambda text: [1.0]], ids=["name", "number", "object", "function"]
)
def test_anything_else_is_refused_with_what_was_given(given):
    with pytest.raises(ConfigError, match=f"got {type(given).__name__!r}, which lacks identity"):
        embedder_of(given)


def test_a_class_is_refused_as_it_cannot_embed():
    with pytest.raises(ConfigError, match="the class 'Named', not an instance"):
        embedder_of(Named)


def test_what_is_nearly_an_embedder_is_told_what_it_lacks():
    nearly = SimpleNamespace(identity="mine/2", dimension=2, embed=len, embed_many=len)
    with pytest.raises(ConfigError, match="which lacks blocks;"):
        embedder_of(nearly)
