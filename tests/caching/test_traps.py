"""The pairs written for the project: no trap is fallen into, and not everything is a trap."""

import json
from pathlib import Path

import pytest

from steprouter.caching.facets import disagreements, facets_of

DATA = Path(__file__).parents[2] / "benchmarks" / "data"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the benchmarks are not part of a source distribution")


def pairs(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def agrees(pair):
    return not disagreements(facets_of(pair["a"]), facets_of(pair["b"]))


def test_no_two_texts_that_ask_something_else_agree():
    in_scope = [pair for pair in pairs("cache_traps.jsonl") if "scope_a" not in pair]
    assert len(in_scope) > 440
    assert [pair for pair in in_scope if agrees(pair)] == []


def test_most_texts_that_ask_the_same_agree():
    twins = pairs("cache_twins.jsonl")
    assert len(twins) >= 200
    assert sum(map(agrees, twins)) / len(twins) >= 0.7
