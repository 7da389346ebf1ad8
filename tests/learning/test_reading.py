"""Tables as people have them: what is read, and which cell is blamed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from steprouter import ConfigError
from steprouter.learning.reading import read_labels, read_outcomes, read_pairs
from steprouter.learning.route_calibration import Label
from steprouter.learning.table import Pair, Row, table_of

HEAD = "text,kind,model,success,cost_usd\n"


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_csv_rows_are_read_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", HEAD + 'a question,code,small,true,0.01\n"two, three",,large,0.5,\n')
    assert read_outcomes(path) == [
        Row(kind="code", model="small", success=1.0, text="a question", usd=0.01),
        Row(kind="answer", model="large", success=0.5, text="two, three"),
    ]


def test_json_lines_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    rows = [
        {"text": "a", "kind": "plan", "model": "m", "success": True, "seconds": 1.5, "group": 7},
        {"text": "b", "kind": "plan", "model": "m", "success": False, "seconds": None, "group": 8},
    ]
    lines = written(tmp_path / "t.jsonl", "".join(f"{json.dumps(row)}\n\n" for row in rows))
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert read_outcomes(lines) == read_outcomes(tmp_path / "t.parquet")
    assert read_outcomes(lines)[0] == Row(kind="plan", model="m", success=1.0, text="a", seconds=1.5, group="7")


def test_a_column_of_another_name_is_named_by_the_caller(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "question,llm,score\nwhy,m,1\n")
    found = read_outcomes(path, {"text": "question", "model": "llm", "success": "score"})
    assert found == [Row(kind="answer", model="m", success=1.0, text="why")]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("q,answer,m,maybe,", "row 2, column 'success': must be a number from 0 to 1, got 'maybe'"),
        ("q,answer,m,1.5,", "row 2, column 'success': must be a number from 0 to 1, got '1.5'"),
        ("q,answer,m,nan,", "row 2, column 'success': must be a number from 0 to 1, got 'nan'"),
        ("q,answer,m,,", "row 2, column 'success': must be true, false or a number from 0 to 1, got ''"),
        ("q,chatter,m,1,", "row 2, column 'kind': must be one of plan, "),
        ("q,answer,,1,", "row 2, column 'model': must be a name of 1 to 256 characters, got ''"),
        ("q,answer,m,1,-2", "row 2, column 'cost_usd': must be a number from 0 to 1e"),
        (",answer,m,1,", "row 2, column 'text': must be there, as the row has no vector"),
        ("q,answer,m,1,,more", "row 2 must have as many cells as the heading"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(tmp_path: Path, row: str, complaint: str) -> None:
    path = written(tmp_path / "t.csv", f"{HEAD}q,answer,m,1,\n{row}\n")
    with pytest.raises(ConfigError) as caught:
        read_outcomes(path)
    assert complaint in str(caught.value)
    assert "'t.csv'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("t.csv", "text,success\nq,1\n", "must have the columns model; it has 'text', 'success'"),
        ("t.csv", HEAD, "must have at least one row"),
        ("t.jsonl", "{]\n", "row 1 must be JSON"),
        ("t.jsonl", "[" * 100_000, "row 1 must be JSON"),
        ("t.jsonl", "[1]\n", "row 1 must be a JSON object, got list"),
        ("t.parquet", "no", "must be a whole Parquet file"),
        ("t.txt", "no", "must end with .csv, .jsonl, .ndjson, .parquet"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint.replace(".", r"\.")):
        read_outcomes(written(tmp_path / name, content))


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"text,model,success\n\xff,m,1\n")
    for name in ("t.csv", "none.csv"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_outcomes(tmp_path / name)


def test_vectors_must_be_numbers_of_unit_length(tmp_path: Path) -> None:
    good = {"vector": [0.6, 0.8], "model": "m", "success": 1}
    assert read_outcomes(written(tmp_path / "t.jsonl", json.dumps(good)))[0].vector is not None
    for vector in ([3.0, 4.0], ["a"], [], [[1.0]], "x"):
        with pytest.raises(ConfigError, match="row 1, column 'vector': must be a list of numbers"):
            read_outcomes(written(tmp_path / "t.jsonl", json.dumps(good | {"vector": vector})))


def test_preferences_name_a_winner_or_a_tie(tmp_path: Path) -> None:
    head = "text,model_a,model_b,winner\n"
    path = written(tmp_path / "p.csv", head + "q,x,y,a\nq,x,y,B\nq,x,y,tie\n")
    assert read_pairs(path) == [
        Pair(kind="answer", first="x", second="y", first_won=won, text="q") for won in (1.0, 0.0, 0.5)
    ]
    for row, complaint in (("q,x,y,z", "'winner': must be a, b or tie"), ("q,x,x,a", "another model than model_a")):
        with pytest.raises(ConfigError, match=complaint):
            read_pairs(written(tmp_path / "p.csv", f"{head}{row}\n"))


def test_a_text_that_differs_in_case_and_spaces_only_is_in_one_group() -> None:
    rows = [Row(kind="answer", model="m", success=1.0, text=text) for text in ("Why  so?", "why so?", "how?")]
    assert table_of(rows).items.groups.tolist() == [0, 0, 1]


def test_the_order_of_rows_does_not_change_the_places_of_names() -> None:
    rows = [Row(kind=kind, model=model, success=1.0, text="q") for kind, model in (("plan", "b"), ("code", "a"))]
    assert table_of(rows).models == table_of(rows[::-1]).models == ("a", "b")
    assert table_of(rows).kinds == ("code", "plan")


def test_texts_for_some_rows_only_are_refused() -> None:
    import numpy as np

    unit = np.array([1.0, 0.0], dtype=np.float32)
    rows = [
        Row(kind="answer", model="m", success=1.0, text="q"),
        Row(kind="answer", model="m", success=1.0, vector=unit),
    ]
    with pytest.raises(ConfigError, match="all rows must have a text or none may"):
        table_of(rows)


LABELS = [
    Label(text="Where is it?", route="orders", where="'{}' row 1"),
    Label(text="Hello", route=None, where="'{}' row 2"),
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "route,text\norders,Where is it?\n,Hello\n"),
        ("l.jsonl", '{"text": "Where is it?", "route": "orders"}\n{"text": "Hello", "route": null}\n'),
        ("l.yaml", '- {text: "Where is it?", route: orders}\n- text: Hello\n  route:\n'),
    ],
)
def test_labels_are_texts_and_the_route_that_each_should_take(tmp_path: Path, name: str, content: str) -> None:
    found = read_labels(written(tmp_path / name, content))
    assert found == [replace(label, where=label.where.format(name)) for label in LABELS]


def test_of_a_long_text_no_more_is_compared_than_of_a_step(tmp_path: Path) -> None:
    (label,) = read_labels(written(tmp_path / "l.csv", f"text,route\n{'a' * 5000},orders\n"))
    assert len(label.text) == 2000


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("l.csv", "text,intent\na,b\n", "'l.csv' must have the columns route; it has 'text', 'intent'"),
        ("l.csv", "question,route\na,b\n", "must have the columns text; it has 'question', 'route'"),
        ("l.csv", "text,route\na,b\n ,b\n", "'l.csv' row 2, column 'text': must be a text with words, got ' '"),
        ("l.jsonl", '{"text": 7, "route": "b"}\n', "'l.jsonl' row 1, column 'text': must be a text, got 7"),
        ("l.yaml", "- {text: a, route: no}\n", "'l.yaml' row 1, column 'route': must be a name of 1 to 256 characters"),
        ("l.yaml", "text: a\n", "'l.yaml' must be a list of rows, each with its columns, got dict"),
        ("l.yaml", "- a\n", "'l.yaml' row 1 must have columns, got str"),
        ("l.yaml", "- {text: a\n", "'l.yaml' must be YAML: while parsing"),
        ("l.yml", "", "'l.yml' must be a list of rows, each with its columns, got NoneType"),
        ("l.csv", "text,route\n", "'l.csv' must have at least one row"),
    ],
)
def test_labels_that_cannot_be_read_are_refused_by_row_and_column(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_labels(written(tmp_path / name, content))
    assert complaint in str(caught.value)
