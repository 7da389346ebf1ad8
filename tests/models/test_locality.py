"""Which models count as running here."""

import pytest
from langchain_core.language_models import FakeListChatModel

from steprouter.models.card import ModelCard
from steprouter.models.locality import is_local


@pytest.mark.parametrize(
    ("base_url", "local"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://127.8.9.10/v1", True),
        ("http://localhost:11434/v1", True),
        ("http://LocalHost./v1", True),
        ("http://qwen.localhost/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://[::ffff:127.0.0.1]/v1", True),
        ("http://me:secret@127.0.0.1/v1", True),
        ("http://127.0.0.1@example.org/v1", False),
        ("http://127.0.0.1.example.org/v1", False),
        ("http://localhost.example.org/v1", False),
        ("http://notlocalhost/v1", False),
        ("http://10.0.0.7/v1", False),
        ("http://192.168.1.7/v1", False),
        ("http://0.0.0.0/v1", False),
        ("http://[fe80::1]/v1", False),
        ("http://2130706433/v1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_a_server_is_local_if_it_listens_on_the_loopback_interface(base_url, local):
    assert is_local(ModelCard(name="m", model="q", base_url=base_url)) is local


@pytest.mark.parametrize(("region", "local"), [("local", True), ("eu", False), ("Local", False)])
def test_a_stated_region_decides_because_a_port_here_may_lead_elsewhere(region, local):
    assert is_local(ModelCard(name="m", model="q", base_url="http://127.0.0.1/v1", region=region)) is local
    assert is_local(ModelCard(name="m", model="q", base_url="https://api.example.org/v1", region=region)) is local


def test_a_langchain_model_is_local_only_if_its_region_says_so():
    model = FakeListChatModel(responses=["x"])
    assert not is_local(ModelCard(name="m", model=model))
    assert is_local(ModelCard(name="m", model=model, region="local"))
    assert not is_local(ModelCard(name="m", model="ollama:qwen"))
