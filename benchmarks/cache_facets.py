"""Measure what an answer cache's facets let through: traps that are alike and differ, twins that mean the same.

    python benchmarks/cache_facets.py [--data DIR] [--show KIND]

Traps and twins were written for the project (`benchmarks/data`): of the traps whose scope is the same all should
disagree, of the twins most should agree. DIR holds `semantic_pairs/qqp_gptcache.parquet` (columns text_a, text_b,
label; reading it needs `pyarrow`): pairs of questions that people marked as the same or not, in bands of the default
embedder's likeness. The twins and the set are told in two halves, of which one was looked at when words were chosen
and the other was not. The traps are no sample: all were looked at, and some were written because they had been fallen
into. `--show` prints pairs of the first half (of traps all): `traps` that agree, `twins` that disagree, `others` or
`same` for pairs of the set that were marked as different and agree, or as the same and disagree.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steprouter.caching.facets import disagreements, facets_of
from steprouter.caching.passing import is_time_dependent
from steprouter.embedding import StaticEmbedder

HERE = Path(__file__).parent / "data"
BANDS = (0.8, 0.9, 0.95)
SHOWN = 60
HALVES = ("looked at", "held out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two texts, whether they mean the same, and of which kind they are."""

    a: str
    b: str
    same: bool
    category: str = ""
    scope_differs: bool = False

    @property
    def half(self) -> str:
        """Of which half they are, whatever else is in the set."""
        first, second = sorted((self.a, self.b))
        return HALVES[hashlib.sha256(f"{first}\n{second}".encode()).digest()[0] % 2]

    @property
    def differing(self) -> tuple[str, ...]:
        """The facets in which they disagree."""
        return disagreements(facets_of(self.a), facets_of(self.b))

    @property
    def passes(self) -> bool:
        """Whether the second may get the first's answer, as far as texts tell."""
        return not self.differing and not is_time_dependent(self.b)


def written(name: str) -> list[Pair]:
    """The pairs of a file of the project."""
    rows = [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]
    return [
        Pair(
            a=row["a"],
            b=row["b"],
            same=row["same"],
            category=row["category"],
            scope_differs=row.get("scope_a") != row.get("scope_b"),
        )
        for row in rows
    ]


def asked(folder: Path) -> list[Pair]:
    """The pairs of the labelled set."""
    path = folder / "semantic_pairs" / "qqp_gptcache.parquet"
    if not path.exists():
        sys.exit(f"{path} is missing; --data must hold semantic_pairs/qqp_gptcache.parquet")
    try:
        table = importlib.import_module("pyarrow.parquet").read_table(path)
    except ImportError:
        sys.exit("reading the set needs pyarrow; pip install pyarrow")
    return [Pair(a=row["text_a"], b=row["text_b"], same=row["label"] == 1) for row in table.to_pylist()]


def likeness(pairs: list[Pair]) -> npt.NDArray[np.float32]:
    """The cosine of each pair under the default embedder."""
    embedder = StaticEmbedder()
    one = embedder.embed_many([pair.a for pair in pairs])
    other = embedder.embed_many([pair.b for pair in pairs])
    alike: npt.NDArray[np.float32] = np.einsum("ij,ij->i", one, other)
    return alike


def tell_written(traps: list[Pair], twins: list[Pair]) -> None:
    """What becomes of the pairs of the project, by kind."""
    in_scope = [pair for pair in traps if not pair.scope_differs]
    alike = likeness(in_scope)
    print(f"traps: {len(traps)}, of these {len(traps) - len(in_scope)} told apart by their scope alone")
    print(f"  median likeness {np.median(alike):.2f}, at least .9: {np.mean(alike >= 0.9):.0%}")
    print(f"  {sum(bool(pair.differing) for pair in in_scope)} of {len(in_scope)} disagree")
    kinds = Counter(pair.category for pair in in_scope)
    caught = Counter(pair.category for pair in in_scope if pair.differing)
    print("  " + ", ".join(f"{kind} {caught[kind]}/{count}" for kind, count in sorted(kinds.items())))
    alike = likeness(twins)
    print(f"twins: {len(twins)}, median likeness {np.median(alike):.2f}, at least .9: {np.mean(alike >= 0.9):.0%}")
    for half in HALVES:
        some = [pair for pair in twins if pair.half == half]
        agreeing = sum(not pair.differing for pair in some)
        print(f"  {half}: {agreeing} of {len(some)} agree ({agreeing / len(some):.0%})")


def tell_asked(pairs: list[Pair]) -> None:
    """What becomes of the labelled set, by band of likeness."""
    alike = likeness(pairs)
    agreeing = np.array([not pair.differing for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    halves = np.array([pair.half for pair in pairs])
    print("\n| half | likeness | pairs | marked same | agree | of these marked same | of the same agree |")
    print("|---|---|---|---|---|---|---|")
    for half in HALVES:
        for least in (-1.0, *BANDS):
            rows = (halves == half) & (alike >= least)
            agree = rows & agreeing
            precision = (agree & same).sum() / max(agree.sum(), 1)
            recall = (agree & same).sum() / max((rows & same).sum(), 1)
            band = "any" if least < 0 else f"≥ {least}"
            print(
                f"| {half} | {band} | {rows.sum()} | {(rows & same).sum() / max(rows.sum(), 1):.1%} "
                f"| {agree.sum()} | {precision:.1%} | {recall:.1%} |"
            )


def show(pairs: list[Pair], *, agreeing: bool) -> None:
    """Print pairs of the half that may be looked at."""
    found = [pair for pair in pairs if (not pair.differing) == agreeing]
    print(f"{len(found)} pairs")
    for pair in found[:SHOWN]:
        print(f"- {pair.a}\n  {pair.b}\n    {', '.join(pair.differing) or 'agree'}")


def looked_at(pairs: list[Pair]) -> list[Pair]:
    """The half that may be looked at."""
    return [pair for pair in pairs if pair.half == HALVES[0]]


def tell_time(texts: list[str]) -> None:
    """How long reading takes."""
    lengths = np.array([len(text) for text in texts])
    start = time.perf_counter()
    for text in texts:
        facets_of(text)
    taken = (time.perf_counter() - start) / len(texts)
    print(f"\nreading takes {taken * 1e6:.0f} µs for {lengths.mean():.0f} characters on the average")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--show", choices=("traps", "twins", "others", "same"))
    chosen = parser.parse_args()
    traps, twins = written("cache_traps.jsonl"), written("cache_twins.jsonl")
    if chosen.show in {"traps", "twins"}:
        in_scope = [pair for pair in traps if not pair.scope_differs]
        show(in_scope if chosen.show == "traps" else looked_at(twins), agreeing=chosen.show == "traps")
        return
    pairs = asked(chosen.data) if chosen.data else []
    if chosen.show:
        alike = likeness(pairs) >= BANDS[0]
        wanted = chosen.show == "same"
        near = [pair for pair, is_near in zip(pairs, alike, strict=True) if is_near and pair.same == wanted]
        show(looked_at(near), agreeing=not wanted)
        return
    tell_written(traps, twins)
    if pairs:
        tell_asked(pairs)
    tell_time([text for pair in (*traps, *twins) for text in (pair.a, pair.b)])


if __name__ == "__main__":
    main()
