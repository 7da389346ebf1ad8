"""A router that decides with a trained predictor: named in a file, or handed over."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from outcomes import EASY, HARD, outcomes

from steprouter import ConfigError, ModelCard, Policy, Price, StepRouter, Tier
from steprouter.config import load
from steprouter.embedding import StaticEmbedder
from steprouter.learning.file import save
from steprouter.learning.logistic import Logistic
from steprouter.learning.table import table_of
from steprouter.learning.train import Training, carded, train
from steprouter.testing import ScriptedChatModel, say

CONFIG = """
models:
  - {name: small, model: small, base_url: "http://127.0.0.1:9/v1", tier: low, price: {input: 1, output: 1}}
  - {name: large, model: large, base_url: "http://127.0.0.1:9/v1", tier: high, price: {input: 20, output: 20}}
policy: {predictor: learnt/steps.srp, nodes: {agent: answer}}
store: memory
"""


@cache
def training() -> Training:
    return train(table_of(outcomes(400)), embedder=StaticEmbedder(), entrants=(Logistic(settings=(2.0,)),))


def router(policy: Policy) -> StepRouter:
    """A small and a large model of which nothing else is known."""
    small = ModelCard(name="small", model=ScriptedChatModel(say("Yes.")), tier=Tier.LOW, price=Price(input=1, output=1))
    large = ModelCard(
        name="large", model=ScriptedChatModel(say("Yes.")), tier=Tier.HIGH, price=Price(input=20, output=20)
    )
    return StepRouter([small, large], store="memory", policy=policy)


def first(routed: StepRouter, words: str) -> str:
    """Who would answer a text of the kind that was trained."""
    config = {"metadata": {"steprouter_kind": "answer"}}
    return routed.recommend(f"{words} of case 5 about bread", config=config).models[0]


def test_a_predictor_that_beat_the_table_says_which_texts_need_the_strong_model() -> None:
    assert training().predictor.enabled
    routed = router(Policy(predictor=training().predictor, quality_loss=0.1))
    assert {words: first(routed, words) for words in (HARD[0], EASY[0])} == {HARD[0]: "large", EASY[0]: "small"}


def test_a_predictor_is_found_from_the_folder_of_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "router" / "learnt").mkdir(parents=True)
    card = carded(training(), table_of(outcomes(400)), source="runs.csv", licence="ours", made_at=1000.0)
    save(training().predictor, card, tmp_path / "router" / "learnt" / "steps.srp")
    (tmp_path / "router" / "router.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    named = load(Path("router/router.yaml")).policy
    assert first(router(named), HARD[0]) == "large"


def test_a_predictor_for_another_embedder_is_refused_before_anything_is_asked() -> None:
    foreign = replace(training().predictor, embedder="minilm of old")
    with pytest.raises(ConfigError, match=r"for the embedder in use, '.*', got one for 'minilm of old'; hand over one"):
        router(Policy(predictor=foreign))


def test_a_predictor_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.srp"):
        router(Policy(predictor=str(tmp_path / "nowhere.srp")))
