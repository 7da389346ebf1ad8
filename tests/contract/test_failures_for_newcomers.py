"""What somebody expects of the failure settings who has read only their names."""

from __future__ import annotations

from typing import Any

import pytest

from steprouter import ConfigError, ModelCard, Policy, StepRouter
from steprouter.testing import FrozenClock, ScriptedChatModel, fail, say


@pytest.mark.parametrize("status", [401, 402, 404])
def test_a_model_that_is_admitted_again_is_asked_at_once_whatever_it_was_out_for(status: int) -> None:
    small = ModelCard(name="small", model=ScriptedChatModel([fail(status), say("Paid.")]), tier="low")
    large = ModelCard(name="large", model=ScriptedChatModel(say("Well.")), tier="high")
    router = StepRouter([small, large], store="memory", clock=FrozenClock())
    assert [router.invoke("Hello").text, router.invoke("Hello").text] == ["Well.", "Well."]
    router.readmit("small")
    assert router.invoke("Hello").text == "Paid."


@pytest.mark.parametrize("wrong", ["reroute", {"reaction": "raise"}, 5])
def test_a_reaction_to_filters_that_is_none_is_a_mistake_with_a_way_out(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"content_filter must be a ContentFilter.*ContentFilter\(reaction="):
        Policy(content_filter=wrong)


@pytest.mark.parametrize("wrong", [5, {"concurrency": 3}])
def test_limits_that_are_none_are_a_mistake_with_a_way_out(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"limits of 'a' must be a Limits.*Limits\("):
        ModelCard(name="a", model=ScriptedChatModel(say("Well.")), limits=wrong)
