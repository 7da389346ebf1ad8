"""`steprouter doctor` on models that are out, circuits that are open and budgets that are used up."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from steprouter import StepRouter
from steprouter.cli import app
from steprouter.errors import StepRouterError
from steprouter.store import connect
from steprouter.testing import SimulatedProvider, Usage, fail, say

CONFIG = """\
models:
  - {{name: small, base_url: "{url}", model: small, tier: low, price: {{input: 1, output: 2}}}}
  - {{name: large, base_url: "{url}", model: large, tier: high, price: {{input: 10, output: 20}}}}
store: embedded
{more}
"""

Doctor = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """A data directory with a server that outlives the routers of a test."""
    folder = tempfile.TemporaryDirectory
    with folder(prefix="sr-") as sockets, folder(prefix="sr-") as data, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        patch.setenv("STEPROUTER_DATA", data)
        patch.delenv("REDIS_URL", raising=False)
        connection = connect("embedded", grace_seconds=0.0)
        connection.open()
        yield Path(data)
        connection.close()


@pytest.fixture
def provider(server: Path) -> Iterator[SimulatedProvider]:
    answer = say("Well.", usage=Usage(input_tokens=1000, output_tokens=100))
    scripts: Any = {"small": answer, "large": answer, "refused": repeat(fail(401)), "dead": repeat(fail(503))}
    with SimulatedProvider(scripts) as simulated:
        yield simulated


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Path) -> Doctor:
    """Runs `steprouter doctor` in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "100"})


def configured(provider: SimulatedProvider, more: str = "", *, small: str = "small") -> Path:
    path = Path("steprouter.yaml")
    path.write_text(CONFIG.format(url=provider.url, more=more).replace("model: small", f"model: {small}"))
    return path


def asked(path: Path, count: int = 1) -> None:
    """So many steps of a router that is closed afterwards, by when all is shared."""
    router = StepRouter.from_file(path)
    try:
        for _ in range(count):
            try:
                router.invoke("How are you?")
            except StepRouterError:
                continue
    finally:
        router.close()


def words(result: Any) -> str:
    return " ".join(result.output.split())


def test_where_nothing_is_wrong_one_line_says_so(doctor: Doctor, provider: SimulatedProvider) -> None:
    configured(provider)
    result = doctor()
    assert result.exit_code == 0
    assert "ok circuits all closed; no model is out or limited" in words(result)


def test_a_model_that_is_out_is_an_error_until_it_is_let_in_again(doctor: Doctor, provider: SimulatedProvider) -> None:
    asked(configured(provider, small="refused"))
    result = doctor()
    assert result.exit_code == 1
    assert "error circuit small out until its configuration changes: auth 401" in words(result)
    assert "run steprouter doctor --readmit small" in words(result)
    again = doctor("--readmit", "small")
    assert again.exit_code == 0
    assert "ok readmit small in again, in all processes with their next step; it was out: auth 401" in words(again)
    assert "ok circuits all closed" in words(again)
    assert "ok readmit small it was not out, nothing has changed" in words(doctor("--readmit", "small"))


def test_an_open_circuit_is_shown_with_the_time_it_stays_open(doctor: Doctor, provider: SimulatedProvider) -> None:
    asked(configured(provider, small="dead"), count=5)
    result = doctor()
    assert result.exit_code == 0
    assert "note circuit small circuit open" in words(result)
    assert "(failures)" in words(result)
    readmitted = words(doctor("--readmit", "small"))
    assert "it was not out; its circuit is open, which closes by itself as soon as a probe succeeds" in readmitted


def test_another_key_is_another_deployment_of_which_nothing_is_known(
    doctor: Doctor, provider: SimulatedProvider
) -> None:
    path = configured(provider, small="refused")
    path.write_text(path.read_text().replace("tier: low", "tier: low, api_key: first"))
    asked(path)
    assert doctor().exit_code == 1
    path.write_text(path.read_text().replace("api_key: first", "api_key: second"))
    assert "ok circuits all closed" in words(doctor())


BUDGET = "budget: [{{usd: {usd}, per: tenant, period: month, name: monthly{more}}}]\ntenant: {tenant}"


@pytest.mark.parametrize(
    ("usd", "more", "level", "said"),
    [
        (1.0, "", "ok", "<1 % of $1.00 per tenant and month used up by tenant"),
        (0.00125, "", "note", "96 % of $0.0013 per tenant and month used up by tenant"),
        (0.0012, ", fallback: small", "note", "its fallback small answers"),
        (0.0012, "", "error", "steps end with BudgetExceeded"),
    ],
)
def test_a_budget_says_how_much_of_it_is_used_up(
    doctor: Doctor, provider: SimulatedProvider, usd: float, more: str, level: str, said: str
) -> None:
    tenant = f"tenant-{usd}{len(more)}"
    asked(configured(provider, BUDGET.format(usd=usd, more=more, tenant=tenant)))
    result = doctor()
    assert f"{level} budget monthly" in words(result)
    assert said in words(result)
    assert "anew on 20" in words(result)
    assert result.exit_code == (1 if level == "error" else 0)


def test_a_budget_per_user_is_named_and_not_summed_up(doctor: Doctor, provider: SimulatedProvider) -> None:
    configured(provider, "budget: [{usd: 5, per: user, period: day}]")
    assert "$5.00 per user and day; each user has its own, which is not looked at here" in words(doctor())


def test_in_memory_nothing_is_shared_and_nobody_can_be_let_in(doctor: Doctor, provider: SimulatedProvider) -> None:
    configured(provider, "budget: [{usd: 5, per: tenant}]")
    shown = words(doctor("--store", "memory"))
    assert "note circuits known only to each process" in shown
    assert "$5.00 per tenant; what is spent is known only to each process" in shown
    result = doctor("--store", "memory", "--readmit", "small")
    assert result.exit_code == 2
    assert "steprouter: --readmit needs a store that the processes share, got memory" in words(result)


def test_an_unknown_model_to_let_in_ends_with_those_there_are(doctor: Doctor, provider: SimulatedProvider) -> None:
    configured(provider)
    result = doctor("--readmit", "smal")
    assert result.exit_code == 2
    assert "--readmit must name one of the models ['small', 'large'], got 'smal'" in words(result)


def test_letting_a_model_in_needs_a_configuration_that_names_it(doctor: Doctor) -> None:
    result = doctor("--readmit", "small")
    assert result.exit_code == 2
    assert "--readmit needs a configuration" in words(result)


def test_a_store_that_is_away_is_said_once_and_lets_nobody_in(doctor: Doctor, provider: SimulatedProvider) -> None:
    configured(provider)
    away = "redis://127.0.0.1:9/0"
    result = doctor("--store", away)
    assert result.exit_code == 1
    assert "circuits" not in result.output
    refused = doctor("--store", away, "--readmit", "small")
    assert refused.exit_code == 1
    assert "'small' is not admitted again everywhere" in words(refused)
