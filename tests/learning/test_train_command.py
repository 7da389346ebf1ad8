"""`steprouter train` as people and scripts type it."""

from __future__ import annotations

import csv
import json
import tempfile
from base64 import b32encode, b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from outcomes import HARD, outcomes, preferences
from typer.testing import CliRunner

from steprouter import ModelCard, Price, StepRouter
from steprouter.cli import app
from steprouter.embedding import StaticEmbedder
from steprouter.learning.file import card_of, load
from steprouter.testing import ScriptedChatModel, say

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `steprouter train` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "100"})


def table(path: Path, *, tells: bool = True) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "kind", "model", "success", "cost_usd", "output_tokens"])
        for row in outcomes(150, tells=tells):
            writer.writerow([row.text, row.kind, row.model, row.success, row.usd, row.output_tokens])
    return path


def test_a_table_becomes_a_file_that_gives_odds(run: Run, tmp_path: Path) -> None:
    result = run(table(tmp_path / "runs.csv"), "--text-column", "question", "--licence", "our own")
    assert result.exit_code == 0, result.output
    for told in ("log loss", "Brier", "ECE", "APGR", "table", "logistic", "won: its log loss is", "enabled: true"):
        assert told in result.output
    embedder = StaticEmbedder()
    predictor = load(tmp_path / "predictor.srp", embedder=embedder.identity)
    assert predictor.priors("answer", embedder.embed(HARD[0]), HARD[0])["small"].success < 0.5
    assert card_of(tmp_path / "predictor.srp").card.licence == "our own"


def test_where_nothing_is_told_the_file_says_that_it_is_not_enabled(run: Run, tmp_path: Path) -> None:
    result = run(table(tmp_path / "runs.csv", tells=False), "--text-column", "question", "--out", "p.srp")
    assert result.exit_code == 0
    assert "table won: no contender is clearly better" in result.output
    assert "enabled: false" in result.output
    assert not card_of(tmp_path / "p.srp").enabled


def test_for_programs_it_is_one_line_of_json(run: Run, tmp_path: Path) -> None:
    told = json.loads(run(table(tmp_path / "runs.csv"), "--text-column", "question", "--json").output)
    assert (told["enabled"], told["rows"], told["source"]) == (True, 300, "runs.csv")
    assert [one["name"] for one in told["contenders"]] == ["table", "knn", "factors", "logistic"]


def test_preferences_are_learnt_from_beside_outcomes(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for pair in preferences(80):
            winner = {1.0: "a", 0.0: "b"}.get(pair.first_won, "tie")
            row = {"text": pair.text, "model_a": pair.first, "model_b": pair.second, "winner": winner}
            file.write(json.dumps(row) + "\n")
    result = run(table(tmp_path / "runs.csv"), "--text-column", "question", "--pairs", "pairs.jsonl", "--json")
    told = json.loads(result.output)
    assert told["pairs"] == 80
    assert all(one["preference_loss"] is not None for one in told["contenders"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name a table to learn from, or say --from-traces"),
        (("runs.csv", "--from-traces"), "one of them"),
        (("none.csv",), "'none.csv' cannot be read"),
        (("runs.csv",), "must have the columns text (or vector)"),
        (("runs.csv", "--text-column", "question", "--out", "p.pkl"), "must end with .srp"),
    ],
)
def test_mistakes_are_told_in_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    table(tmp_path / "runs.csv")
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.output
    assert len(result.output.splitlines()) == 1


@pytest.fixture
def remembered(tmp_path: Path) -> Iterator[None]:
    """A data directory whose server remembers outcomes of two models for the tenant `acme`."""
    with tempfile.TemporaryDirectory(prefix="sr-") as sockets, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        patch.setenv("STEPROUTER_DATA", str(tmp_path / "data"))
        patch.delenv("REDIS_URL", raising=False)
        patch.chdir(tmp_path)
        model = ScriptedChatModel([say("ok")], model_name="m")
        router = StepRouter([ModelCard(name="small", model=model, price=Price(input=1, output=1))])
        router.invoke("hello", {"configurable": {"thread_id": "t"}})
        assert router.engine.sink.flush()
        for _ in range(10):
            router.engine.shelf.write(())
            if router.engine.shelf.is_written:
                break
            router.engine.connection.recovers(2.0)
        assert CliRunner().invoke(app, ["memory", "export", "one.jsonl"]).exit_code == 0
        multiplied(tmp_path / "one.jsonl", tmp_path / "many.jsonl")
        result = CliRunner().invoke(app, ["memory", "import", "many.jsonl", "--tenant", "acme"])
        assert "300 outcomes" in result.output, result.output
        yield
        router.close()


def multiplied(one: Path, many: Path) -> None:
    """An exported memory with outcomes by a known rule in place of the one it has."""
    header, *lines = map(json.loads, one.read_text(encoding="utf-8").splitlines())
    template = next(line for line in lines if line["sort"] == "outcome")
    embedder = StaticEmbedder()
    rows = []
    for number, row in enumerate(outcomes(150)):
        record = b32encode(sha256(str(number).encode()).digest()).decode().lower()[:24]
        vector = b64encode(embedder.embed(row.text or "").astype("<f4").tobytes()).decode()
        told = {"record": record, "model": row.model, "score": row.success, "weight": 1.0, "vector": vector}
        rows.append({**template, **told, "kind": "answer", "thread": None, "output_tokens": 70, "number": number + 1})
    end = {"sort": "end", "tallies": 0, "outcomes": len(rows), "lessons": 0}
    cleaned = [{name: value for name, value in row.items() if value is not None} for row in (header, *rows, end)]
    many.write_text("".join(f"{json.dumps(line)}\n" for line in cleaned), encoding="utf-8")


def test_what_the_router_remembers_is_learnt_from_by_its_vectors(run: Run, remembered: None) -> None:
    result = run("--from-traces", "--tenant", "acme")
    assert result.exit_code == 0, result.output
    header = card_of("predictor.srp")
    assert (header.enabled, header.card.rows, header.card.source) == (True, 300, "memory")
    assert header.card.first_at is not None
    embedder = StaticEmbedder()
    predictor = load("predictor.srp", embedder=embedder.identity)
    assert predictor.priors("answer", embedder.embed(HARD[0]), "")["small"].success < 0.5
    assert predictor.expected("answer", "small").output_tokens == pytest.approx(70)


def test_too_few_memories_are_said_to_be_too_few(run: Run, remembered: None) -> None:
    result = run("--from-traces")
    assert result.exit_code == 2
    assert "must have at least 50 different texts or groups, got 1" in result.output
