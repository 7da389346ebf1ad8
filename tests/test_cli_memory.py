"""`steprouter memory …` as people and scripts type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from steprouter import ModelCard, Price, StepRouter
from steprouter.cli import app
from steprouter.testing import ScriptedChatModel, say

HOSTILE = "evil\x1b[31m\u202e[bold]"
NAME = "small [bold]"

Run = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[str]:
    """A data directory whose server remembers three steps of a tenant and one of another."""
    with tempfile.TemporaryDirectory(prefix="sr-") as sockets, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        patch.setenv("STEPROUTER_DATA", str(tmp_path / "data"))
        patch.delenv("REDIS_URL", raising=False)
        patch.chdir(tmp_path)
        model = ScriptedChatModel([say("ok")] * 4, model_name="m")
        router = StepRouter([ModelCard(name=NAME, model=model, price=Price(input=1, output=1))])
        runs = (("t-1", "default"), ("t-1", "default"), (HOSTILE, "default"), ("t-1", "acme"))
        for number, (thread, tenant) in enumerate(runs):
            place = {"thread_id": thread, "user_id": "ann", "tenant": tenant}
            router.invoke(f"what is the capital of country {number}", {"configurable": place})
        assert router.engine.sink.flush()
        until_written(router)
        yield str(tmp_path / "data")
        router.close()


def until_written(router: StepRouter) -> None:
    """A store that a busy machine holds up is bypassed for a moment; what waits meanwhile is written after."""
    for _ in range(10):
        router.engine.shelf.write(())
        if router.engine.shelf.is_written:
            return
        router.engine.connection.recovers(2.0)
    raise AssertionError(f"steps still wait for the store: {router.engine.connection.degraded}")


@pytest.fixture
def run(data: str) -> Run:
    """Runs `steprouter memory` where something is remembered."""
    return lambda *arguments: CliRunner().invoke(app, ["memory", *arguments], env={"COLUMNS": "80"})


def overview(run: Run, tenant: str = "default") -> dict[str, Any]:
    return dict(json.loads(run("show", "--json", "--tenant", tenant).output))


def test_show_counts_and_tells_how_the_models_did(run: Run) -> None:
    result = run("show")
    assert result.exit_code == 0
    assert "tenant default: learned 1, outcomes 3, sessions 2, tallies 1, traces 3" in result.output
    assert "100 %" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert not [one for one in result.output if one in "\x1b\u202e"]


def test_show_for_programs_is_one_line_of_json(run: Run) -> None:
    told = overview(run, "acme")
    assert (told["records"]["outcomes"], told["outcomes"], told["newer"]) == (1, {"chat": 1}, 0)


def test_nothing_remembered_ends_with_what_to_do(run: Run) -> None:
    result = run("show", "--tenant", "nobody")
    assert result.exit_code == 1
    assert result.output == (
        "steprouter: nothing is remembered for tenant 'nobody' in this store; run your agent first\n"
    )


def test_search_finds_what_resembles_a_text(run: Run) -> None:
    result = run("search", "capital of a country", "-k", "2", "--json")
    found = [json.loads(line) for line in result.output.splitlines()]
    assert [one["model"] for one in found] == [NAME] * 2
    assert "similar" in run("search", "capital of a country", "--kind", "chat").output
    assert run("search", "capital", "--tenant", "nobody").exit_code == 1


def test_search_for_an_unknown_kind_is_bad_input(run: Run) -> None:
    result = run("search", "text", "--kind", "song")
    assert (result.exit_code, result.output.startswith("steprouter: kind must be one of plan, ")) == (2, True)
    assert run("search", "text", "-k", "0").exit_code == 2


def test_what_is_exported_can_be_imported_once(run: Run, tmp_path: Path) -> None:
    result = run("export", "memory.jsonl")
    assert result.output == "3 outcomes and 1 counter written to memory.jsonl\n"
    first, second = run("import", "memory.jsonl", "--tenant", "heir"), run("import", "memory.jsonl", "--tenant", "heir")
    assert first.output.startswith("3 outcomes and 1 counter taken over; 0 were known, 0 too old\n")
    assert second.output.startswith("0 outcomes and 0 counters taken over; 3 were known, 0 too old\n")
    assert "nodes, threads and users were dropped" in first.output
    assert overview(run, "heir")["standings"] == overview(run)["standings"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "memory.csv"), "a file's name must end with .jsonl, .ndjson, .parquet, got 'memory.csv'"),
        (("export", "memory.csv", "--format", "xml"), "format must be jsonl or parquet, got 'xml'"),
        (("export", "nowhere/memory.jsonl"), "path must be a file that can be written, got 'nowhere/memory.jsonl'"),
        (("import", "nowhere.jsonl"), "'nowhere.jsonl' cannot be read"),
        (("import", "broken.jsonl"), "'broken.jsonl' line 1 must be JSON"),
        (("forget",), "name what to forget: --user, --thread, or --tenant for all of a tenant"),
        (("forget", "--thread", "t-1"), "nobody can be asked here; say --yes"),
    ],
)
def test_mistakes_are_one_line_that_names_the_way_out(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "broken.jsonl").write_text("{")
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith(f"steprouter: {said}") or said in result.output
    assert result.output.count("\n") == 1
    assert overview(run)["records"]["outcomes"] == 3


def test_forgetting_a_thread_says_what_went_and_leaves_the_rest(run: Run) -> None:
    result = run("forget", "--thread", "t-1", "--yes")
    assert result.exit_code == 0
    assert "erased, thread 't-1' of tenant 'default': " in result.output
    assert "A second look over all keys found none of it." in result.output
    assert "Tallies stay" in result.output
    assert (overview(run)["outcomes"], overview(run, "acme")["outcomes"]) == ({"chat": 1}, {"chat": 1})


def test_forgetting_a_hostile_thread_or_an_unknown_one_harms_nobody(run: Run) -> None:
    assert run("forget", "--thread", "*", "--user", "{}", "--yes").output.startswith("there was nothing to erase")
    result = run("forget", "--thread", HOSTILE, "--yes", "--json")
    assert json.loads(result.output)["erased"]["outcomes"] == 1
    assert overview(run)["outcomes"] == {"chat": 2}


def test_forgetting_a_tenant_leaves_nothing_of_it(run: Run) -> None:
    told = json.loads(run("forget", "--tenant", "default", "--yes", "--json").output)
    assert (told["left"], told["erased"]["tallies"]) == (0, 1)
    assert overview(run)["records"] == {}
    assert overview(run, "acme")["outcomes"] == {"chat": 1}


def test_a_store_in_memory_is_nothing_that_a_command_can_see(run: Run) -> None:
    result = run("show", "--store", "memory")
    assert (result.exit_code, "use `router.memory` there" in result.output) == (1, True)


def test_a_store_that_is_away_is_said_in_one_line(run: Run) -> None:
    result = run("forget", "--store", "redis://127.0.0.1:1/0", "--tenant", "acme", "--yes")
    assert result.exit_code == 1
    assert result.output.startswith("steprouter: memory cannot be reached: ")
    assert result.output.count("\n") == 1


def test_as_a_process_it_exports_and_forgets(data: str, tmp_path: Path) -> None:
    def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "steprouter", "memory", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ), check=False)

    assert typed("export", "memory.jsonl").stdout == "3 outcomes and 1 counter written to memory.jsonl\n"
    assert (tmp_path / "memory.jsonl").stat().st_mode & 0o777 == 0o600
    refused, done = typed("forget", "--user", "ann"), typed("forget", "--user", "ann", "--yes", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert (done.returncode, json.loads(done.stdout)["erased"]["outcomes"]) == (0, 3)
