"""`steprouter calibrate` as people and scripts type it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from steprouter import ConfigError
from steprouter.cli import app
from steprouter.cli.calibrate import calibration, show, yaml_of
from steprouter.embedding import StaticEmbedder
from steprouter.routing.routes import Route

Run = Callable[..., Any]

EMBEDDER = StaticEmbedder()
COLUMNS = {"text": "text", "route": "route"}

ORDERS = ("Where is my parcel?", "When will my order arrive?", "Has my order been shipped?", "My parcel is late",
          "Track my order", "The delivery has not come", "When does the parcel come?")  # fmt: skip
REFUNDS = ("I want my money back", "Can I get a refund?", "Refund this purchase", "Please return my money",
           "How long does a refund take?", "Give me back what I paid", "I would like to be refunded")  # fmt: skip
OTHERS = ("Write a poem about the sea", "What is the capital of France?", "Fix this Python function", "Good morning",
          "Who won the match last night?", "Translate this into German", "Sort a list of numbers")  # fmt: skip
ROUTES = (
    Route(name="orders", examples=ORDERS[:3], models="small", threshold=0.95),
    Route(name="refunds", examples=REFUNDS[:3], models="large", threshold=0.95),
)

CONFIG = """\
models:
  - name: small
    model: openai:gpt-5.6-luna
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `steprouter calibrate` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["calibrate", *map(str, arguments)], env={"COLUMNS": "110"})


def table(path: Path) -> Path:
    rows = [(text, "orders") for text in ORDERS] + [(text, "refunds") for text in REFUNDS]
    lines = [f'"{text}",{route}' for text, route in rows] + [f'"{text}",' for text in OTHERS]
    path.write_text("text,route\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def told(labels: Path | None, *routes: Route, precision: float | None = None) -> Any:
    return calibration(routes or ROUTES, EMBEDDER, labels, COLUMNS, precision=precision, seed=0)


def test_thresholds_that_nothing_reaches_come_down_to_where_texts_are(tmp_path: Path) -> None:
    found = told(table(tmp_path / "labels.csv"))
    assert found.before.recall.part == 0
    assert found.after.recall.value > 0.7
    assert all(0.2 < threshold < 0.95 for threshold in found.changed.values())
    assert (found.texts, found.without_route) == (21, 7)


def test_people_see_thresholds_figures_and_what_is_taken_for_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(told(table(tmp_path / "labels.csv")))
    shown = capsys.readouterr().out
    for word in ("route", "now", "found", "precision", "recall", "orders", "refunds", "0.95", "F1", "without a route"):
        assert word in shown
    assert "note: route 'orders' has 7 labelled texts, so its figures say little; 10 or more do" in shown


def test_the_thresholds_are_a_fragment_of_a_configuration(tmp_path: Path) -> None:
    found = told(table(tmp_path / "labels.csv"))
    fragment = yaml_of(found, "labels.csv")
    assert fragment.startswith("# Thresholds that `steprouter calibrate` found; held out: precision ")
    assert "# 21 labelled texts: labels.csv\n" in fragment
    routes = {one["name"]: one["threshold"] for one in yaml.safe_load(fragment)["policy"]["routes"]}
    assert routes == {one.name: one.found for one in found.routes}
    assert [replace(route, threshold=routes[route.name]).threshold for route in ROUTES] == list(routes.values())


def test_without_labels_each_example_is_compared_with_the_others() -> None:
    routes = [replace(route, examples=texts) for route, texts in zip(ROUTES, (ORDERS, REFUNDS), strict=True)]
    found = told(None, *routes)
    assert (found.texts, found.without_route) == (14, 0)
    assert found.after.recall.value > 0.5
    assert found.warnings[0].startswith("no text is labelled with no route")


def test_examples_that_are_in_a_store_only_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="route 'orders' has no examples in the configuration"):
        told(table(tmp_path / "labels.csv"), replace(ROUTES[0], examples=()))


def test_a_configuration_that_is_missing_or_has_no_routes_is_said_in_a_line(run: Run, tmp_path: Path) -> None:
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no steprouter.yaml in this directory; name a configuration with --config" in result.stderr
    (tmp_path / "steprouter.yaml").write_text(CONFIG, encoding="utf-8")
    result = run("--labels", table(tmp_path / "labels.csv"))
    assert result.exit_code == 2
    assert "the configuration must have routes to find thresholds for, it has none" in result.stderr


def test_nothing_is_written_over_that_the_command_did_not_write(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "steprouter.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    for path in (config, tmp_path):
        result = run("--write", path)
        assert result.exit_code == 2
        assert "--write must name a new file" in result.stderr
    assert config.read_text(encoding="utf-8") == CONFIG
