"""Files of predictors: what goes in comes out, and what is not whole and sound is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outcomes import HARD, outcomes

from steprouter import ConfigError
from steprouter.embedding import StaticEmbedder
from steprouter.learning.file import LARGEST, MAGIC, card_of, load, packed, save
from steprouter.learning.knn import Nearest
from steprouter.learning.logistic import Logistic
from steprouter.learning.table import table_of
from steprouter.learning.train import Training, carded, train
from steprouter.routing.trained import TrainedPredictor

EMBEDDER = StaticEmbedder()
IDENTITY = EMBEDDER.identity


@cache
def training(contender: str = "logistic", *, tells: bool = True) -> Training:
    entrants = (Nearest(),) if contender == "knn" else (Logistic(settings=(2.0,)),)
    return train(table_of(outcomes(200, tells=tells)), embedder=EMBEDDER, entrants=entrants)


def saved(path: Path, done: Training | None = None) -> Path:
    done = done or training()
    card = carded(done, table_of(outcomes(200)), source="/home/ann/secret/runs.csv", licence="ours", made_at=1000.0)
    save(done.predictor, card, path)
    return path


def answers(predictor: TrainedPredictor) -> dict[str, float]:
    text = f"{HARD[0]} of case 5 about bread"
    found = predictor.priors("answer", EMBEDDER.embed(text), text)
    return {model: prior.success for model, prior in found.items()}


@pytest.mark.parametrize("contender", ["logistic", "knn"])
def test_a_predictor_comes_back_as_it_was(tmp_path: Path, contender: str) -> None:
    done = training(contender)
    predictor = load(saved(tmp_path / "p.srp", done), embedder=IDENTITY, dimension=256)
    assert done.enabled
    assert answers(predictor) == pytest.approx(answers(done.predictor), abs=1e-6)
    assert predictor.expected("answer", "small") == done.predictor.expected("answer", "small")


def test_one_that_lost_comes_back_without_odds_and_serves_any_embedder(tmp_path: Path) -> None:
    predictor = load(saved(tmp_path / "p.srp", training(tells=False)), embedder=None)
    assert (predictor.enabled, answers(predictor)) == (False, {})
    assert predictor.expected("answer", "small").output_tokens == 100


def test_the_card_tells_what_it_was_made_of_and_not_where_that_lay(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.srp")
    header = card_of(path)
    assert (header.card.source, header.card.licence, header.card.made_at) == ("runs.csv", "ours", 1000.0)
    assert (header.card.rows, header.card.models) == (400, {"large": 200, "small": 200})
    assert [one.name for one in header.card.contenders] == ["table", "logistic"]
    assert header.embedder == IDENTITY
    assert b"secret" not in path.read_bytes()
    assert b"theorem" not in path.read_bytes()


def test_only_the_owner_may_read_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.srp")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["p.srp"]


def test_the_same_training_gives_the_same_bytes(tmp_path: Path) -> None:
    assert saved(tmp_path / "a.srp").read_bytes() == saved(tmp_path / "b.srp").read_bytes()


def test_another_embedder_or_dimension_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "p.srp")
    with pytest.raises(ConfigError, match=r"must be for the embedder in use, 'mine/3', got one for 'steprouter-static"):
        load(path, embedder="mine/3")
    with pytest.raises(ConfigError, match="must take vectors of 3 numbers, got 256"):
        load(path, embedder=IDENTITY, dimension=3)


@pytest.mark.parametrize("length", [0, 7, 11, 12, 500, -1, -4000])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    path = saved(tmp_path / "p.srp")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ConfigError, match="must be"):
        load(path, embedder=IDENTITY)


@pytest.mark.parametrize("place", [0, 8, 100, 5000, -40, -1])
def test_a_file_with_one_changed_byte_is_refused(tmp_path: Path, place: int) -> None:
    path = saved(tmp_path / "p.srp")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ConfigError, match="must be"):
        load(path, embedder=IDENTITY)


def test_a_file_that_is_missing_or_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pickle.srp").write_bytes(b"\x80\x04K\x01.")
    for name, complaint in (("none.srp", "cannot be read"), ("pickle.srp", "it is something else"), (".", "cannot be")):
        with pytest.raises(ConfigError, match=complaint):
            load(tmp_path / name, embedder=IDENTITY)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "p.srp"
    with path.open("wb") as file:
        file.write(MAGIC)
        file.truncate(LARGEST + 2)
    with pytest.raises(ConfigError, match=f"at most {LARGEST} bytes"):
        load(path, embedder=IDENTITY)


Change = Callable[[dict[str, Any]], object]


def forged(path: Path, change: Change) -> Path:
    """A file with another header and a checksum that fits."""
    content = path.read_bytes()[:-32]
    length = int.from_bytes(content[8:12], "little")
    header = json.loads(content[12 : 12 + length])
    change(header)
    told = json.dumps(header).encode()
    content = MAGIC + len(told).to_bytes(4, "little") + told + content[12 + length :]
    path.write_bytes(content + sha256(content).digest())
    return path


def array(header: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in header["arrays"] if one["name"] == name)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda h: h.update(version=2), "version must be 1, got 2; upgrade"),
        (lambda h: h.update(marks=9), "marks must be 1, got 9; upgrade"),
        (lambda h: h.update(version=0), "version must be 1, got 0; train it again"),
        (lambda h: h.update(strength=1000.0), "strength: Input should be less than or equal to 12"),
        (lambda h: h.update(strength=float("nan")), "strength"),
        (lambda h: h.update(run="rm -rf"), "run: Extra inputs are not permitted"),
        (lambda h: h.update(enabled=False), "an enabled predictor has a form"),
        (lambda h: h.update(embedder=None), "embedder and dimension"),
        (lambda h: h.update(models=["small", "small"]), "named twice"),
        (lambda h: array(h, "low").update(shape=[2**27]), "array 'low' of shape"),
        (lambda h: array(h, "always").update(shape=[2**27]), "not whole"),
        (lambda h: array(h, "always").update(shape=[-1]), r"arrays\.\d+\.shape"),
        (lambda h: array(h, "vector").update(name="seconds"), "array 'seconds' of shape"),
        (lambda h: array(h, "vector").update(name="program"), "array 'program'"),
        (lambda h: h["arrays"].pop(), "bytes follow the arrays"),
        (lambda h: h.update(models=[f"m{n}" for n in range(3)]), "array 'known' of shape"),
        (lambda h: h.update(kinds=[]), "kinds"),
    ],
)
def test_a_forged_header_is_refused(tmp_path: Path, change: Change, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(forged(saved(tmp_path / "p.srp"), change), embedder=IDENTITY)


def with_array(path: Path, name: str, value: float) -> Path:
    """A file in which one array begins with another number."""
    content = bytearray(path.read_bytes()[:-32])
    length = int.from_bytes(content[8:12], "little")
    place = 12 + length
    for one in json.loads(content[12:place])["arrays"]:
        if one["name"] == name:
            content[place : place + 4] = np.array([value], dtype="<f4").tobytes()
        place += 4 * int(np.prod(one["shape"]))
    path.write_bytes(bytes(content) + sha256(content).digest())
    return path


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("words", float("nan"), "'words' must be finite"),
        ("always", float("inf"), "'always' must be finite"),
        ("vector", 1e30, "'vector' must be finite"),
        ("output_tokens", float("inf"), "'output_tokens' must be finite"),
        ("low", 2.0, "bounds must lie between 0 and 1"),
        ("shape_width", 0.0, "widths must be above 0"),
    ],
)
def test_numbers_that_no_training_gives_are_refused(tmp_path: Path, name: str, value: float, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(with_array(saved(tmp_path / "p.srp"), name, value), embedder=IDENTITY)


def test_nearest_steps_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    for change, complaint in (
        (lambda h: h.update(starts=[0, 7]), "of shape"),
        (lambda h: h.update(starts=None), "nearest steps need"),
        (lambda h: h.update(starts=[5, h["starts"][-1]]), "starts must rise from 0"),
    ):
        path = saved(tmp_path / "p.srp", training("knn"))
        with pytest.raises(ConfigError, match=complaint):
            load(forged(path, change), embedder=IDENTITY)


def test_what_was_there_stays_when_the_new_file_cannot_be_written(tmp_path: Path) -> None:
    card = card_of(saved(tmp_path / "p.srp")).card
    for path, complaint in ((tmp_path / "p.txt", "must end with .srp"), (tmp_path / "no" / "p.srp", "folder")):
        with pytest.raises(ConfigError, match=complaint):
            save(training().predictor, card, path)
    (tmp_path / "d.srp").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        save(training().predictor, card, tmp_path / "d.srp")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["d.srp", "p.srp"]


def test_packing_reads_no_clock_and_draws_no_lot() -> None:
    card = carded(training(), table_of(outcomes(200)), source="x", made_at=0.0)
    assert packed(training().predictor, card) == packed(training().predictor, card)
