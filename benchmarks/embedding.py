"""Measure embedders: how long a text takes, and on labelled requests which intent is meant and is it a known one.

    python benchmarks/embedding.py [--data DIR]

DIR holds `intents/banking77.parquet` and `intents/clinc150.parquet` (columns text, intent, their_split); reading them
needs `pyarrow`, and without them only times are printed. Ten examples of each intent from the authors' training part
are the support, all of their test part is asked; the mean of three disjoint supports is shown. all-MiniLM-L6-v2 is
measured beside the table when the extra `onnx` is installed, and hashed character n-grams always.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steprouter.embedding import OnnxEmbedder, StaticEmbedder
from steprouter.errors import ConfigError

Floats = npt.NDArray[np.float32]
EmbedMany = Callable[[Sequence[str]], Floats]

SETS = ("banking77", "clinc150")
EXAMPLES, SUPPORTS = 10, 3
OUTSIDE = "oos"
BUCKETS = 2048
SHORT = "My card was charged twice for one order, please refund it."
LONG = " ".join([SHORT] * 16)
SECONDS = 1.5
"""Each embedder embeds each text for so long."""


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Labelled requests, and which of them play which part."""

    texts: list[str]
    intents: npt.NDArray[np.str_]
    parts: npt.NDArray[np.str_]

    def rows(self, part: str, *, known: bool) -> npt.NDArray[np.intp]:
        """Rows of a part with an intent (or with none)."""
        return np.flatnonzero((self.parts == part) & ((self.intents != OUTSIDE) == known))


def read(path: Path) -> Requests:
    """A set from its parquet file."""
    if not path.exists():
        sys.exit(f"{path} is missing; --data must hold intents/banking77.parquet and intents/clinc150.parquet")
    try:
        table = importlib.import_module("pyarrow.parquet").read_table(path)
    except ImportError:
        sys.exit("reading the sets needs pyarrow; pip install pyarrow")
    return Requests(
        texts=table["text"].to_pylist(),
        intents=np.array(table["intent"].to_pylist()),
        parts=np.array(table["their_split"].to_pylist()),
    )


def supports(requests: Requests) -> list[npt.NDArray[np.intp]]:
    """Disjoint choices of ten training rows for each intent, the same for every embedder.

    An intent with too few rows for the last choice takes its last ten, so that every intent is in every support.
    """
    random = np.random.default_rng(0)
    chosen: list[list[npt.NDArray[np.intp]]] = [[] for _ in range(SUPPORTS)]
    rows = requests.rows("train", known=True)
    for intent in np.unique(requests.intents[rows]):
        mixed = random.permutation(rows[requests.intents[rows] == intent])
        for number in range(SUPPORTS):
            last = min((number + 1) * EXAMPLES, len(mixed))
            chosen[number].append(mixed[last - EXAMPLES : last])
    return [np.concatenate(parts) for parts in chosen]


def measure(requests: Requests, vectors: Floats) -> dict[str, float]:
    """Accuracy of the nearest example and of the nearest centroid, and how well each knows strangers."""
    measured = [measure_support(requests, vectors, support) for support in supports(requests)]
    return {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}


def measure_support(requests: Requests, vectors: Floats, support: npt.NDArray[np.intp]) -> dict[str, float]:
    """The figures with one support."""
    asked, strangers = requests.rows("test", known=True), requests.rows("oos_test", known=False)
    labels = requests.intents[support]
    intents = np.unique(labels)
    centroids = unit_rows(np.stack([vectors[support][labels == intent].mean(axis=0) for intent in intents]))
    figures = {}
    for name, targets, answers in (("1-NN", vectors[support], labels), ("centroid", centroids, intents)):
        alike = vectors[asked] @ targets.T
        figures[name] = float((answers[alike.argmax(axis=1)] == requests.intents[asked]).mean())
        if len(strangers):
            figures[f"out of scope, {name}"] = auroc(alike.max(axis=1), (vectors[strangers] @ targets.T).max(axis=1))
    return figures


def auroc(high: Floats, low: Floats) -> float:
    """How often a number of the first group is above one of the second (Mann-Whitney)."""
    ranks = np.concatenate([high, low]).argsort().argsort() + 1
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def unit_rows(vectors: Floats) -> Floats:
    """Rows of unit length; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def embed_ngrams(texts: Sequence[str]) -> Floats:
    """Hashed runs of three and four characters: what can be had without any model."""
    vectors = np.zeros((len(texts), BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        marked = f" {text.lower()} "
        for size in (3, 4):
            for start in range(len(marked) - size + 1):
                vectors[row, zlib.crc32(marked[start : start + size].encode("utf-8", "replace")) % BUCKETS] += 1
    return unit_rows(np.sqrt(vectors))


def contenders(table: Path | None) -> dict[str, EmbedMany]:
    """Every embedder that is here, by name."""
    here: dict[str, EmbedMany] = {
        "StaticEmbedder": (StaticEmbedder(table) if table else StaticEmbedder()).embed_many,
        "hashed character n-grams": embed_ngrams,
    }
    try:
        here["OnnxEmbedder (all-MiniLM-L6-v2)"] = OnnxEmbedder().embed_many
    except ConfigError as missing:
        print(f"all-MiniLM-L6-v2 is left out: {missing}\n", file=sys.stderr)
    return here


def milliseconds(embed: EmbedMany, text: str) -> list[float]:
    """Median and 95th percentile of embedding one text by itself."""
    taken = []
    embed([text])
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        start = time.perf_counter()
        embed([text])
        taken.append((time.perf_counter() - start) * 1000)
    return [float(one) for one in np.percentile(taken, (50, 95))]


def print_times(embedders: Mapping[str, EmbedMany]) -> None:
    """A table of times."""
    wordpiece, _ = StaticEmbedder().open()
    short, long = (len(wordpiece.ids(text)) for text in (SHORT, LONG))
    print_row("milliseconds", f"{short} wordpieces, median", "p95", f"{long} wordpieces, median", "p95")
    print_row(*["---"] * 5)
    for name, embed in embedders.items():
        print_row(name, *(f"{one:.3f}" for text in (SHORT, LONG) for one in milliseconds(embed, text)))


def print_quality(embedders: Mapping[str, EmbedMany], sets: Mapping[str, Requests]) -> None:
    """A table of accuracies and areas under the ROC curve for each set."""
    for set_name, requests in sets.items():
        known, strangers = requests.rows("test", known=True), requests.rows("oos_test", known=False)
        print(f"\n{set_name}: {len(known)} requests, {len(strangers)} out of scope\n")
        measured = {name: measure(requests, embed(requests.texts)) for name, embed in embedders.items()}
        columns = list(next(iter(measured.values())))
        print_row("", *columns)
        print_row(*["---"] * (len(columns) + 1))
        for name, figures in measured.items():
            print_row(name, *(f"{figures[column]:.3f}" for column in columns))


def print_row(*cells: str) -> None:
    """A row of a table in Markdown."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure every embedder that is here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the sets")
    parser.add_argument("--table", type=Path, help="folder of another table to measure")
    given = parser.parse_args()
    sets = {name: read(given.data / "intents" / f"{name}.parquet") for name in SETS} if given.data else {}
    embedders = contenders(given.table)
    print_times(embedders)
    print_quality(embedders, sets)
    if not sets:
        print("\nquality is left out: --data DIR must hold intents/banking77.parquet and intents/clinc150.parquet")


if __name__ == "__main__":
    main()
