"""The command `steprouter` as a newcomer types it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from steprouter.cli import app
from steprouter.memory.traces import StoredTrace
from steprouter.store import connect, open_traces
from steprouter.testing import SimulatedProvider, fail, say
from steprouter.tracing.archive import store_trace
from steprouter.tracing.record import AttemptRecord, Trace

HOSTILE = "evil\x1b[31m\u202e[bold]"
CONFIG = """\
models:
  - {name: local, base_url: "http://127.0.0.1:9/v1", model: qwen, tier: low, window_tokens: 8192}
  - {name: mine, base_url: "http://127.0.0.1:9/v1", model: m, tier: high, price: {input: 1, output: 2}}
policy:
  rules:
    - {name: pii stays here, keyword: iban, models: local}
store: memory
"""

Run = Callable[..., Any]


def stored(step: str, at: float, **other: Any) -> StoredTrace:
    attempt = AttemptRecord(model="small", why="cheapest", began_seconds=0.0, seconds=0.8, cost_usd=0.0001)
    figures: dict[str, Any] = {"cost_usd": 0.0001, "reference_cost_usd": 0.001, "saved_usd": 0.0009}
    whole = {"thread": "t-1", "kind": "answer", "model": "small", "outcome": "sufficient", **figures, **other}
    return store_trace(Trace(step_id=step, started_at=at, attempts=(attempt,), reference="large", **whole))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A data directory whose server keeps three threads of two tenants."""
    data = tmp_path_factory.mktemp("data")
    with tempfile.TemporaryDirectory(prefix="sr-") as sockets, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        patch.setenv("STEPROUTER_DATA", str(data))
        patch.delenv("REDIS_URL", raising=False)
        connection = connect("embedded", grace_seconds=0.0)
        steps = [stored("aa1", 3.0), stored("aa2", 4.0, node="second"), stored("bb1", 1.0, thread=HOSTILE)]
        whose: dict[str, Any] = {"tenant": "probed"}
        probe = stored("dd1-probe", 0.1, probe_of="dd1", reference_cost_usd=None, saved_usd=None, **whose)
        steps += [stored("dd1", 0.1, **whose), probe, stored("dd2", 0.2, **whose)]
        assert open_traces(connection).write([*steps, stored("cc1", 2.0, thread="t-9", tenant="acme")]) == 7
        yield str(data)
        connection.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **environment: str) -> Any:
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "100", **environment})

    return invoke


@pytest.fixture
def show(run: Run, kept: str) -> Run:
    """Runs `steprouter show` where traces are kept."""
    return lambda *arguments: run("show", *arguments)


def words(result: Any) -> str:
    return " ".join(result.output.split())


def test_show_without_arguments_shows_the_newest_thread_and_how_to_go_on(show: Run) -> None:
    result = show()
    assert result.exit_code == 0
    assert result.output.startswith("thread t-1\n")
    assert "2 steps, 2 on small: $0.00020 instead of $0.0020 on large alone, saved 90 %." in words(result)
    assert "steprouter show t-1 --step 1 explains a step" in words(result)
    assert "steprouter show --threads lists the other threads (1 of them)" in words(result)


def test_threads_are_listed_with_hostile_names_made_visible(show: Run) -> None:
    result = show("--threads")
    assert result.exit_code == 0
    assert r"evil\x1b[31m\u202e[bold]" in result.output
    assert "\x1b" not in result.output


def test_a_thread_is_found_by_its_true_name_however_hostile(show: Run) -> None:
    result = show(HOSTILE)
    assert result.exit_code == 0
    assert "1 step, 1 on small" in words(result)
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output


@pytest.mark.parametrize("step", ["2", "aa2"])
def test_a_step_is_found_by_its_number_or_by_its_id(show: Run, step: str) -> None:
    result = show("--step", step)
    assert result.exit_code == 0
    assert result.output.startswith("Step 2 (answer at node second): small answered")


def test_a_probe_takes_no_number_from_the_steps_of_its_thread(show: Run) -> None:
    second = json.loads(show("--tenant", "probed", "--step", "2", "--json").stdout)
    assert (second["step_id"], second["probe_of"]) == ("dd2", None)
    assert "a probe of step dd1 asked" in words(show("--tenant", "probed", "--step", "dd1-probe"))
    assert "which has steps 1 to 2;" in words(show("--tenant", "probed", "--step", "3"))


def test_an_id_finds_its_step_in_whatever_thread_it_is(show: Run) -> None:
    assert show("--step", "bb1").output.startswith("Step 1 (answer): small answered")
    assert show("t-1", "--step", "bb1").exit_code == 0


@pytest.mark.parametrize(
    ("step", "said"),
    [("9", "'9' is no step of thread 't-1', which has"), ("aa", "'aa' fits several steps")],
)
def test_a_step_that_is_not_there_ends_with_what_is(show: Run, step: str, said: str) -> None:
    result = show("--step", step)
    assert result.exit_code == 1
    assert said in result.output


def test_an_unknown_thread_ends_with_the_nearest_one(show: Run) -> None:
    result = show("t-2")
    assert result.exit_code == 1
    assert result.output == (
        "steprouter: no steps of thread 't-2' are kept for tenant 'default'; did you mean 't-1'?\n"
    )


def test_a_tenant_sees_its_own_threads_and_no_others(show: Run) -> None:
    assert show("--tenant", "acme").output.startswith("thread t-9\n")
    assert show("t-1", "--tenant", "acme").exit_code == 1
    nobody = show("--tenant", "nobody")
    assert nobody.exit_code == 1
    assert "no steps are kept yet for tenant 'nobody' in this store" in nobody.output


def test_json_is_one_trace_a_line_in_plain_ascii(show: Run) -> None:
    steps = [json.loads(line) for line in show("--json").output.splitlines()]
    assert [step["step_id"] for step in steps] == ["aa1", "aa2"]
    (line,) = show("--step", "bb1", "--json").output.splitlines()
    assert line.isascii()
    assert json.loads(line)["thread"] == HOSTILE


def test_threads_as_json_name_their_steps_and_newest_time(show: Run) -> None:
    lines = [json.loads(line) for line in show("--threads", "--json").output.splitlines()]
    assert lines[0] == {"thread": "t-1", "steps": 2, "last_at": 4.0}


def test_traces_in_memory_are_said_to_be_seen_only_by_their_process(run: Run) -> None:
    result = run("show", "--store", "memory")
    assert result.exit_code == 1
    assert result.output.startswith("steprouter: traces in memory are seen only by the process that made them")


def test_a_store_that_is_away_is_one_line_and_no_traceback(run: Run) -> None:
    result = run("show", "--store", "redis://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.output.startswith("steprouter: traces cannot be read: ")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("arguments", [("show", "--store", "ftp://x"), ("recommend", "hi"), ("recommend",), ("shwo",)])
def test_wrong_input_ends_with_exit_code_two(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_recommend_names_the_model_and_the_rule_without_calling_anybody(run: Run) -> None:
    Path("steprouter.yaml").write_text(CONFIG)
    result = run("recommend", "My IBAN is gone")
    assert result.exit_code == 0
    assert result.output.startswith("local would be asked first: ")
    assert "rule that matched: pii stays here" in result.output
    assert "mine refused high" in words(result)


def test_recommend_as_json_is_the_whole_decision(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(CONFIG)
    decision = json.loads(run("recommend", "hi", "--json", STEPROUTER_CONFIG="other.yaml").output)
    assert [candidate["model"] for candidate in decision["candidates"]] == ["mine", "local"]
    assert decision["rule"] is None


def test_a_mistake_in_the_configuration_is_one_line_with_its_place(run: Run) -> None:
    Path("steprouter.yaml").write_text(CONFIG.replace("tier: low", "teir: low"))
    result = run("recommend", "hi")
    assert result.exit_code == 2
    assert result.output == (
        "steprouter: steprouter.yaml line 2, models[0].teir: unknown field; did you mean 'tier'?\n"
    )


def test_doctor_names_packages_store_models_and_what_is_unknown(run: Run) -> None:
    Path("steprouter.yaml").write_text(CONFIG)
    result = run("doctor")
    assert result.exit_code == 0
    for said in ("ok python 3.", "note store memory of each process", "note model local price unknown", "no errors"):
        assert said in words(result)
    assert "$1 in and $2 out per million tokens (user)" in words(result)


def test_doctor_names_the_server_its_search_and_its_licence(run: Run, kept: str) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "at embedded in" in words(result)
    assert "licence" in result.output
    assert "no models were looked at" in words(result)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("tier: low", "teir: low"), "error configuration steprouter.yaml line 2, models[0].teir: unknown field"),
        (('base_url: "http://127.0.0.1:9/v1", model: qwen', "model: qwen"), "error model local"),
        (("models: local", "models: local, tier: high"), "error policy rule 'pii stays here' allows none of"),
    ],
)  # fmt: skip
def test_doctor_ends_with_exit_code_one_when_something_will_fail(run: Run, wrong: tuple[str, str], said: str) -> None:
    Path("steprouter.yaml").write_text(CONFIG.replace(*wrong))
    result = run("doctor")
    assert result.exit_code == 1
    assert said in words(result)


def test_doctor_calls_a_model_only_when_it_is_told_to(run: Run) -> None:
    with SimulatedProvider({"qwen": say("ok"), "m": say("ok")}) as provider:
        Path("steprouter.yaml").write_text(CONFIG.replace("http://127.0.0.1:9/v1", provider.url))
        assert run("doctor").exit_code == 0
        assert provider.requests == ()
        result = run("doctor", "--call")
    assert "ok call local answered in 0." in words(result)
    assert len(provider.requests) == 2


def test_doctor_says_what_a_model_that_was_called_has_answered_wrongly(run: Run) -> None:
    with SimulatedProvider({"qwen": fail(401), "m": say("ok")}) as provider:
        Path("steprouter.yaml").write_text(CONFIG.replace("http://127.0.0.1:9/v1", provider.url))
        result = run("doctor", "--call")
    assert result.exit_code == 1
    assert "error call local" in words(result)


def test_help_appears_without_importing_anything_heavy() -> None:
    code = "import sys; from steprouter.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    began = time.monotonic()
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert time.monotonic() - began < 5  # a bound for a busy machine; it takes 0.2 s on a quiet one
    assert {"langchain_core", "redis", "pydantic", "httpx", "numpy"}.isdisjoint(output.split())


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").output == "steprouter 0.1.0\n"


@pytest.mark.parametrize("command", ["show", "recommend", "doctor"])
def test_every_option_of_a_command_has_a_help_text(run: Run, command: str) -> None:
    lines = [line for line in run(command, "--help").output.splitlines() if line.startswith("  -")]
    assert lines
    assert all(len(line.split("  ")) > 2 for line in lines)
