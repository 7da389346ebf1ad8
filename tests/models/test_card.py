"""A model's card refuses what cannot be, and shows no secret."""

import pytest
from pydantic import SecretStr

from steprouter.errors import ConfigError
from steprouter.models.card import Abilities, ModelCard, Price, Tier
from steprouter.testing import ScriptedChatModel

KEY = "sk-very-secret-0123456789"


def test_a_key_given_as_text_is_wrapped_and_never_shown():
    card = ModelCard(name="m", model="m", base_url="http://m", api_key=KEY, headers={"X-Key": KEY}, settings={"k": KEY})
    assert card.api_key == SecretStr(KEY)
    assert card.headers == {"X-Key": SecretStr(KEY)}
    assert KEY not in repr(card)


def test_a_tier_may_be_given_as_text_and_is_a_tier_afterwards():
    assert ModelCard(name="m", model="x:y", tier="mid_high").tier is Tier.MID_HIGH


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, "name must be printable"),
        ({"name": "a\nb"}, "name must be printable"),
        ({"model": ""}, "must not be empty"),
        ({"base_url": "localhost:8080"}, "must begin with http"),
        ({"model": ScriptedChatModel(), "base_url": "http://m"}, "give the object, or base_url"),
        ({"window_tokens": 0}, "window_tokens of 'm' must be more than 0"),
        ({"max_output_tokens": -1}, "max_output_tokens of 'm' must be more than 0"),
        ({"tools": "json"}, "must be native, json_schema or prompt"),
        ({"prefill_style": "suffix"}, "must be assistant, prefix, partial or continue_final_message, got 'suffix'"),
        ({"prefill_style": "prefix", "abilities": Abilities(prefill=False)}, "left out with Abilities.prefill=False"),
        ({"base_url": "http://m", "api": "responses", "prefill_style": "prefix"}, "or take api='chat_completions'"),
        ({"tools": "prompt", "abilities": Abilities(prefill_with_tools=True)}, "or take tools='native'"),
    ],
)
def test_a_card_that_cannot_be_is_refused_with_the_rule(given, message):
    with pytest.raises(ConfigError, match=message):
        ModelCard(**{"name": "m", "model": "x:y", **given})


@pytest.mark.parametrize("usd", [-0.1, float("nan"), float("inf"), 1e7])
def test_a_price_that_is_no_price_is_refused(usd):
    with pytest.raises(ConfigError, match="USD per million tokens"):
        Price(input=usd, output=1)
