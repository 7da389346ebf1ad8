"""`steprouter cache …` as people and scripts type it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from steprouter import ModelCard, Price, StepRouter
from steprouter.cli import app
from steprouter.testing import ScriptedChatModel, say

QUESTIONS = ("What is the capital of Italy?", "What is the capital of Italy?", "What is the weather today?")

Run = Callable[..., Any]


def asked(data: Path, **given: Any) -> list[str]:
    """Steps of a router in the embedded store, by their ids."""
    model = ScriptedChatModel(say("Rome."), model_name="m")
    router = StepRouter([ModelCard(name="m", model=model, price=Price(input=1, output=1))], temperature=0, **given)
    ids = []
    for question in QUESTIONS:
        answer = router.invoke(question, {"tags": ["cities"]})
        ids.append(answer.response_metadata["steprouter"]["step_id"])
        for _ in range(20):  # a busy machine's store is bypassed for a moment; what waits is written after
            router.engine.sink.flush()
            if router.engine.shelf.is_written:
                break
    return ids


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sr-") as sockets, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        patch.setenv("STEPROUTER_DATA", str(tmp_path / "data"))
        patch.delenv("REDIS_URL", raising=False)
        patch.chdir(tmp_path)
        yield tmp_path


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["cache", *words])
    assert done.exit_code == code, done.output
    return done.output


def test_the_commands_show_explain_and_remove_answers(place: Path) -> None:
    first, second, third = asked(place, answer_cache=True)
    assert "1 answer" in run("stats")
    assert "1 exact and 0 semantic hits (50%)" in run("stats")
    assert json.loads(run("stats", "--json"))["exact"] == 1
    assert "its own answer is kept" in run("explain", first)
    assert f"paid for by step {first}" in run("explain", second)
    assert "the answer may be another tomorrow" in run("explain", third)
    assert json.loads(run("explain", second, "--json"))["layer"] == "exact"
    assert run("invalidate", "--tag", "rivers") == "0 answers removed\n"
    assert json.loads(run("invalidate", "--tag", "cities", "--json")) == {"removed": 1}
    assert "0 answers" in run("stats")


def test_an_estimate_says_what_a_cache_would_have_served_before_it_is_on(place: Path) -> None:
    asked(place)
    told = run("estimate")
    assert "3 steps recorded, 2 of them of the kind that may be given again" in told
    assert "exact repeats: 1 (33%)" in told
    assert "the answer may be another tomorrow" in told
    assert json.loads(run("estimate", "--json"))["exact"] == 1
    assert "no answers are kept" in run("stats", code=1)


def test_what_is_not_there_or_not_named_is_said(place: Path) -> None:
    assert "no step 'nope' is kept" in run("explain", "nope", code=1)
    assert "name --tag, --model or --node" in run("invalidate", code=2)
    assert "not both, not nothing" in run("invalidate", "--all", "--tag", "x", code=2)
    assert "say --yes" in run("invalidate", "--all", code=2)
    assert "no steps are recorded" in run("estimate", code=1)


def test_of_a_tenant_only_its_own_answers_are_removed(place: Path) -> None:
    asked(place, answer_cache=True, tenant="acme")
    assert run("invalidate", "--all", "--yes", "--tenant", "other") == "0 answers removed\n"
    assert run("invalidate", "--all", "--yes", "--tenant", "acme") == "1 answer removed\n"
