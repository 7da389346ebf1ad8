"""Measure the token estimate against a real vocabulary, providers' own counts and the clock.

Needs `bpe-openai` (OpenAI's vocabularies, offline) and `pyarrow`; `django` adds texts in other languages, and
`--data` a folder with sets of agent runs and tool schemas, each a sub-folder of parquet files:

    python benchmarks/token_estimate.py --data DIR

Of each set every second text is measured; the others are those the weights were fitted to. `--fit` repeats
the fit.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steprouter.models.tokens import (
    EACH,
    INSIDE_WORD,
    KINDS,
    RUN_START,
    Kind,
    byte_pairs,
    estimate_tokens,
)

# A set's name, its file and column, and how a cell becomes texts.
SETS: tuple[tuple[str, str, str, str], ...] = (
    ("agent dialogue", "tau/messages.parquet", "messages", "assistant user"),
    ("tool results", "tau/messages.parquet", "messages", "tool"),
    ("tool schemas", "bfcl_v1/questions.parquet", "functions", ""),
    ("short requests", "bfcl_v1/questions.parquet", "question", ""),
    ("answers, mathematics and JSON", "zeroeval/responses.parquet", "output", ""),
    ("code-agent turns", "mint/trajectories_max5.parquet", "messages", "assistant user"),
    ("mixed questions", "routerarena_sub10/questions.parquet", "question", ""),
    ("code tasks", "livecodebench/questions.parquet", "question", ""),
    ("shell and SQL output", "intercode/steps_multiturn10.parquet", "observation", ""),
)
LANGUAGES = ("de", "fr", "es", "ru", "zh_Hans", "ja", "ko", "ar", "hi", "el", "th", "vi", "he")
TEXTS_PER_SET = 600


def column(path: Path, name: str) -> list[Any]:
    """One column of a parquet file."""
    values: list[Any] = importlib.import_module("pyarrow.parquet").read_table(path)[name].to_pylist()
    return values


def spoken(cells: Iterable[str], roles: str) -> Iterator[str]:
    """The texts of the given roles in conversations stored as JSON."""
    for cell in cells:
        for message in json.loads(cell):
            if message["role"] in roles.split() and isinstance(message.get("content"), str):
                yield message["content"]


def stored_sets(data: Path) -> Iterator[tuple[str, list[str]]]:
    """The sets found in the data folder."""
    for name, file, field, roles in SETS:
        if not (data / file).exists():
            print(f"{name}: {data / file} is missing")
            continue
        cells = column(data / file, field)
        texts = [text for text in (spoken(cells, roles) if roles else cells) if text and len(text) > 20]
        random.Random(1).shuffle(texts)
        yield name, texts[:TEXTS_PER_SET]


def translated_sets() -> Iterator[tuple[str, list[str]]]:
    """Django's translations by language, ten messages a text; nothing where Django is not installed."""
    found = importlib.util.find_spec("django")
    if found is None or found.origin is None:
        return
    root = Path(found.origin).parent
    entry = re.compile(r'^msgstr(?:\[\d\])? ((?:".*"\n)+)', re.MULTILINE)
    for language in LANGUAGES:
        messages = []
        for file in sorted(root.glob(f"**/locale/{language}/LC_MESSAGES/*.po")):
            for quoted in entry.findall(file.read_text(encoding="utf-8")):
                message = "".join(ast.literal_eval(line) for line in quoted.strip().split("\n"))
                messages += [message] if len(message) > 15 else []
        yield language, ["\n".join(messages[at : at + 10]) for at in range(0, len(messages), 10)]


def source_set() -> tuple[str, list[str]]:
    """Python source of an installed library, cut to 20,000 characters a file."""
    origin = importlib.util.find_spec("langchain_core")
    assert origin is not None
    assert origin.origin is not None
    files = sorted(Path(origin.origin).parent.glob("**/*.py"))
    return "Python source", [text[:20_000] for file in files if (text := file.read_text(encoding="utf-8"))]


def report(name: str, texts: list[str], count: Callable[[str], int]) -> None:
    """Print estimate over true count: of the whole set, and the spread over its texts."""
    pairs = np.array([(estimate_tokens(text), count(text)) for text in texts[1::2]], dtype=float)
    ratios = pairs[:, 0] / pairs[:, 1]
    low, middle, high = np.quantile(ratios, (0.05, 0.5, 0.95))
    whole = pairs[:, 0].sum() / pairs[:, 1].sum()
    print(f"{name:32} n {len(pairs):4}  whole {whole:.2f}  median {middle:.2f}  5-95 % {low:.2f}-{high:.2f}")


def features() -> dict[str, npt.NDArray[np.bool_]]:
    """Which pairs of kinds each weight counts; (256,) bool."""
    previous, current = np.divmod(np.arange(256), KINDS)
    letter = np.isin(current, (Kind.LOWER, Kind.UPPER))
    return {
        **{f"EACH {kind.name}": current == kind for kind in EACH},
        "WORD_START": letter & ~np.isin(previous, INSIDE_WORD),
        **{f"RUN_START {kind.name}": (current == kind) & (previous != kind) for kind in RUN_START},
    }


def report_fit(sets: Sequence[tuple[str, list[str]]], count: Callable[[str], int]) -> None:
    """Print the weights of least squared relative error on the first of every two texts.

    A set weighs as the root of its size, a language 0.4 of an English set: most steps of agents are English.
    """
    masks = features()
    rows, tokens = [], []
    for name, texts in sets:
        share = 0.4 if name in LANGUAGES else 1.0
        for text in texts[::2]:
            counts = np.bincount(byte_pairs(text), minlength=256)
            true = count(text)
            # Below 20 tokens a single one more or less would outweigh long texts.
            weight = share / np.sqrt(len(texts)) / max(true, 20)
            rows.append([weight * counts[mask].sum() for mask in masks.values()])
            tokens.append(weight * true)
    fitted = np.linalg.lstsq(np.array(rows), np.array(tokens), rcond=None)[0]
    for name, value in zip(masks, fitted, strict=True):
        print(f"{name:24} {value:.3f}")


def report_providers(data: Path) -> None:
    """Print the estimate over what two providers reported for the same questions in a fixed prompt."""
    folder = data / "routerarena_sub10"
    if not folder.exists():
        return
    questions = folder / "questions.parquet"
    texts = dict(zip(column(questions, "global_index"), column(questions, "question"), strict=True))
    results = folder / "results.parquet"
    fields = (column(results, name) for name in ("global_index", "model", "input_tokens"))
    rows = [row for row in zip(*fields, strict=True) if row[2]]
    for model in sorted({row[1] for row in rows}):
        pairs = np.array([(estimate_tokens(texts[key]), told) for key, name, told in rows if name == model])
        line = np.c_[pairs[:, 0], np.ones(len(pairs))]
        slope = np.linalg.lstsq(line, pairs[:, 1], rcond=None)[0][0]
        print(f"{model:32} n {len(pairs):4}  estimate over reported {1 / slope:.2f}")


def report_speed() -> None:
    """Print the time for 100 kB: best and median of 50."""
    for name, text in (("English", "The order #1234 was shipped.\n"), ("Japanese", "注文は発送されました。")):
        sample = (text * 100_000)[: 100_000 // (len(text.encode()) // len(text))]
        times = []
        for _ in range(50):
            start = time.perf_counter()
            estimate_tokens(sample)
            times.append(time.perf_counter() - start)
        print(f"{name}, {len(sample.encode())} bytes: {min(times) * 1e3:.2f} / {np.median(times) * 1e3:.2f} ms")


def main() -> None:
    """Print every measurement that the installed packages and the data folder allow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the text sets")
    parser.add_argument("--vocabulary", default="o200k_base", help="a vocabulary that bpe-openai knows")
    parser.add_argument("--fit", action="store_true", help="print fitted weights as well")
    options = parser.parse_args()
    report_speed()
    vocabulary = importlib.import_module("bpe_openai").get_encoding(options.vocabulary)
    stored = list(stored_sets(options.data)) if options.data else []
    sets = [*stored, source_set(), *translated_sets()]
    for name, texts in sets:
        report(name, texts, lambda text: len(vocabulary.encode(text)))
    if options.fit:
        report_fit(sets, lambda text: len(vocabulary.encode(text)))
    if options.data:
        report_providers(options.data)


if __name__ == "__main__":
    main()
