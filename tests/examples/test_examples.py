"""Every example runs offline, as a user would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENTS = ROOT / "examples" / "agents"
POISON = "sk-never-read-this-key-0123456789"


def run(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"), POISON)
    inherited = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**inherited, **keys, "STEPROUTER_DATA": str(data), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def shown(data: Path) -> str:
    done = run(data, str(AGENTS / "support_desk.py"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_support_desk_says_in_its_first_line_that_providers_are_simulated(shown: str) -> None:
    assert shown.startswith("SIMULATED providers")
    assert POISON not in shown


def test_the_support_desk_ends_with_a_table_of_steps_and_what_was_saved(shown: str) -> None:
    rows = [line.split() for line in shown.splitlines() if re.match(r" *\d+  (triage|model|reply|summary) ", line)]
    assert len(rows) == 17
    assert {row[2] for row in rows} == {"classify", "tool_call", "read_result", "recover", "answer", "summarize"}
    assert {row[3] for row in rows} == {"small", "spare", "large"}
    assert re.search(r"17 steps, .* on large alone,\s+saved \d+ %", shown)


def test_the_support_desk_shows_a_failover_and_an_escalation(shown: str) -> None:
    assert "after small failed" in shown
    assert "escalated: arguments" in shown


def test_the_steps_of_the_support_desk_are_shown_again_by_the_command_line(data: Path, shown: str) -> None:
    thread = re.search(r"steprouter show (desk-\S+)", shown)
    assert thread is not None
    again = run(data, "-m", "steprouter", "show", thread[1])
    assert again.returncode == 0, again.stderr
    assert "17 steps" in again.stdout


def test_asking_for_keys_that_are_not_set_is_one_clear_error(data: Path) -> None:
    done = run(
        data, str(AGENTS / "support_desk.py"), "--keys", OPENAI_API_KEY="", ANTHROPIC_API_KEY="", GOOGLE_API_KEY=""
    )
    assert done.returncode != 0
    assert "OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_API_KEY must be set" in done.stderr


def test_each_example_is_short_enough_to_be_read_at_once() -> None:
    lines = {file.name: len(file.read_text().splitlines()) for file in AGENTS.glob("support_desk.py")}
    assert all(count <= 140 for count in lines.values()), lines
