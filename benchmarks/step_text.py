"""Measure which text of a step finds the steps that went alike, for each kind of step.

    python benchmarks/step_text.py --data DIR [--only SET|KIND|SET/KIND ...] [--against NAME] [--minilm]

DIR holds sets of agent runs and questions, each a folder of parquet files: `tau`, `intercode`, `mint`, `bfcl_v1`,
`livecodebench`, `zeroeval`, `llmrouter_uiuc`, `routellm`; sets that are not there are named and left out.
Reading them needs `pyarrow`.

A step of a set is made into a call with LangChain's messages, its kind is read from that, and each composition of
text is embedded. What came of a step is then foretold from the 48 nearest steps of *other* tasks (five folds by task),
weighted as memory weighs them, on top of the rate of the kind. Foretold are

* `success`: whether the model that took the step solved the task (one column a model);
* `next`: whether a tool is called next, which one, whether it fails, whether the answer is long.

Shown are the mean AUROC over columns (weighted by rows), the log loss in thousandths below that of the kind's rate
alone (more is better), and for pairs of a cheap and a strong model APGR and CPT(50 %). In brackets: the 95 %
interval of the difference to the composition named by `--against`, by bootstrap over tasks.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
from langchain_core.messages import AIMessage, ToolMessage
from step_cases import SETS, Case

from steprouter.embedding import Embedder, OnnxEmbedder, StaticEmbedder
from steprouter.memory.neighbours import NEIGHBOURS, SESSION_CAP, WIDTH
from steprouter.step.ask import Ask
from steprouter.step.text import step_text

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]

FOLDS = 5
STRENGTH = 10.0
"""Observations that the kind's rate counts for: few, so that the text may speak."""

REPEATS = 300
STEPS = 6_000
"""Of a set and kind, drawn by chance where there are more."""

SLOW_STEPS = 800
"""The same for a slow embedder."""

FEWEST = 60
"""Rows with both results below which a column is left out."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a text can be composed of."""

    system: str
    goal: str
    last: str
    said: str
    tools: str
    called: str
    arguments: str
    result: str


def parts_of(ask: Ask) -> Parts:
    """The parts of a call; those that are not there are empty."""
    humans = [m.text for m in ask.messages if m.type == "human"]
    answers = [m for m in ask.messages if isinstance(m, AIMessage)]
    calls = answers[-1].tool_calls if answers else []
    results: list[str] = []
    for message in reversed(ask.messages):
        if not isinstance(message, ToolMessage):
            break
        results.insert(0, message.text)
    return Parts(
        system="".join(m.text for m in ask.messages if m.type == "system"),
        goal=humans[0] if humans else "",
        last=humans[-1] if humans else "",
        said=answers[-1].text if answers else "",
        tools=" ".join(ask.tools.names),
        called=" ".join(call["name"] for call in calls),
        arguments=" ".join(json.dumps(call["args"], ensure_ascii=False) for call in calls),
        result="\n".join(results),
    )


def ends(text: str, head: int, tail: int) -> str:
    """The beginning and the end of a long text."""
    return text if len(text) <= head + tail else f"{text[:head]} {text[len(text) - tail :]}"


Compose = Callable[[Parts], str]

ASKED: dict[str, Compose] = {
    "last": lambda p: p.last[:2000],
    "last 500": lambda p: p.last[:500],
    "last 1000": lambda p: p.last[:1000],
    "last 1000-1000": lambda p: ends(p.last, 1000, 1000),
    "goal": lambda p: p.goal[:1000],
    "goal + last": lambda p: p.last[:1000] if p.goal == p.last else f"{p.last[:1000]}\n{p.goal[:500]}",
    "tools": lambda p: p.tools,
    "last + tools": lambda p: f"{p.last[:1500]}\n{p.tools[:500]}",
    "last + system 500": lambda p: f"{p.last[:1500]}\n{p.system[:500]}",
    "last + said -200": lambda p: f"{p.last[:1000]}\n{p.said[-200:]}",
    "last + said 300": lambda p: f"{p.last[:1000]}\n{p.said[:300]}",
    "short last + said -200": lambda p: f"{p.last[:1000]}\n{p.said[-200:]}" if len(p.last) < 60 else p.last[:1000],
}
GIVEN: dict[str, Compose] = {
    "called": lambda p: p.called,
    "result 200": lambda p: p.result[:200],
    "called + result 50": lambda p: f"{p.called}\n{p.result[:50]}",
    "called + result 100": lambda p: f"{p.called}\n{p.result[:100]}",
    "called + result 500": lambda p: f"{p.called}\n{p.result[:500]}",
    "called + result 1000": lambda p: f"{p.called}\n{p.result[:1000]}",
    "called + result -200": lambda p: f"{p.called}\n{p.result[-200:]}",
    "called + result 100-100": lambda p: f"{p.called}\n{ends(p.result, 100, 100)}",
    "called x3 + result 200": lambda p: f"{p.called} {p.called} {p.called}\n{p.result[:200]}",
    "called + arguments 200 + result 200": lambda p: f"{p.called}\n{p.arguments[:200]}\n{p.result[:200]}",
    "last + called": lambda p: f"{p.last[:1000]}\n{p.called}",
    "last + called + result 200": lambda p: f"{p.last[:1000]}\n{p.called}\n{p.result[:200]}",
    "last 100 + called + result 200": lambda p: f"{p.last[:100]}\n{p.called}\n{p.result[:200]}",
}
FEW = ("last", "called", "last + called + result 200", "last + said -200")
"""What a slow embedder is asked."""


PAIRS = (
    ("gpt-3.5", "gpt-4"),
    ("gpt-3.5-turbo-0613", "gpt-4-0613"),
    ("gpt-3.5-turbo-0125-FC", "gpt-4o-2024-05-13-FC"),
    ("claude-3-haiku-20240307", "claude-3-5-sonnet-20240620"),
    ("mixtral_8x7b", "gpt_4_1106"),
    ("llama-3.1-8b-instruct", "llama-3.1-nemotron-51b-instruct"),
    ("GPT-3.5-Turbo-0125", "GPT-4-Turbo-2024-04-09"),
    ("gpt-4o-mini-2024-07-18", "o1-mini-2024-09-12"),
)


# Foretelling and its measures.


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """The cases of one set and kind in columns.

    Attributes:
        name: Set and kind.
        parts: For each case.
        chosen: The text the library embeds.
        tasks: (n,) number of the task.
        threads: (n,) number of the episode, below 0 for none.
        folds: (n,) of the task.
        results: By column (n,), NaN where it does not apply.
    """

    name: str
    parts: list[Parts]
    chosen: list[str]
    tasks: npt.NDArray[np.int64]
    threads: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    results: dict[str, Floats]


def group_of(name: str, cases: Sequence[Case]) -> Group:
    """Cases in columns; columns with too few rows of either result are left out."""
    numbers = {task: number for number, task in enumerate(dict.fromkeys(c.task for c in cases))}
    episodes = {thread: number for number, thread in enumerate(dict.fromkeys(c.thread for c in cases if c.thread))}
    folds = {task: int(sha256(task.encode()).hexdigest(), 16) % FOLDS for task in numbers}
    columns = dict.fromkeys(key for c in cases for key in c.results)
    results = {key: np.array([c.results.get(key, np.nan) for c in cases]) for key in columns}
    return Group(
        name=name,
        parts=[parts_of(c.ask) for c in cases],
        chosen=[step_text(c.ask.messages) for c in cases],
        tasks=np.array([numbers[c.task] for c in cases]),
        threads=np.array([episodes[c.thread] if c.thread else -1 for c in cases]),
        folds=np.array([folds[c.task] for c in cases]),
        results={k: v for k, v in results.items() if min(np.nansum(v), np.nansum(1 - v)) >= FEWEST},
    )


def foretold(group: Group, vectors: Vectors | None, strength: float) -> dict[str, Floats]:
    """For each column what is foretold of each row, from rows of other folds; NaN where the column does not apply."""
    found = {key: np.full(len(group.tasks), np.nan) for key in group.results}
    together: dict[bytes, list[str]] = defaultdict(list)
    for key, marks in group.results.items():
        together[np.isnan(marks).tobytes()].append(key)
    for keys in together.values():
        here = ~np.isnan(group.results[keys[0]])
        marks = np.stack([group.results[key] for key in keys], axis=1)
        # Of all folds: rates that leave a fold out would rank the folds, and backwards.
        rates = marks[here].mean(axis=0)
        for fold in range(FOLDS):
            asked, known = (np.flatnonzero(here & side) for side in (group.folds == fold, group.folds != fold))
            good, total = np.zeros((len(asked), len(keys))), np.zeros((len(asked), 1))
            if vectors is not None:
                places, weights = nearest_weights(vectors[asked], vectors[known], group.threads[known])
                good, total = np.einsum("nk,nkm->nm", weights, marks[known][places]), weights.sum(axis=1)[:, None]
            for place, key in enumerate(keys):
                found[key][asked] = ((strength * rates + good) / (strength + total))[:, place]
    return found


def nearest_weights(
    asked: Vectors, known: Vectors, threads: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp], Floats]:
    """The nearest rows and their weights, both (n, k), as `steprouter.memory.neighbours.masses` has them at age 0."""
    cosines = asked @ known.T
    count = min(NEIGHBOURS, len(known))
    places = np.argpartition(cosines, -count, axis=1)[:, -count:]
    weights = np.exp(-np.maximum(0.0, 1.0 - np.take_along_axis(cosines, places, axis=1).astype(np.float64)) / WIDTH)
    for row in np.flatnonzero(weights.sum(axis=1) > SESSION_CAP):
        mine = threads[places[row]]
        mass = (mine[:, None] == mine) @ weights[row]
        much = (mine >= 0) & (mass > SESSION_CAP)
        weights[row][much] *= SESSION_CAP / mass[much]
    return places, weights


def auroc(marks: Floats, guesses: Floats, weights: Floats) -> Floats:
    """The area under the ROC curve for each row of weights, (repeats,)."""
    order = np.argsort(guesses, kind="stable")
    starts = np.flatnonzero(np.diff(guesses[order], prepend=-1.0))
    good = np.add.reduceat(weights[:, order] * marks[order], starts, axis=1)
    bad = np.add.reduceat(weights[:, order] * (1 - marks[order]), starts, axis=1)
    below = np.cumsum(bad, axis=1) - bad / 2
    area: Floats = (good * below).sum(axis=1) / np.maximum(good.sum(axis=1) * bad.sum(axis=1), 1e-9)
    return area


def log_loss(marks: Floats, guesses: Floats) -> Floats:
    """Of each row."""
    loss: Floats = -np.log(np.clip(np.where(marks == 1, guesses, 1 - guesses), 1e-6, None))
    return loss


Measures = dict[str, tuple[Floats, Floats]]


def measured(group: Group, guesses: Mapping[str, Floats], rates: Mapping[str, Floats], weights: Floats) -> Measures:
    """AUROC and the log loss gained on the rate, for each family of columns, each (repeats,)."""
    measures: Measures = {}
    for family in sorted({key.split()[0] for key in group.results}):
        areas, gains, sizes = [], [], []
        for key, marks in group.results.items():
            if key.split()[0] != family:
                continue
            here = ~np.isnan(marks)
            w = weights[:, here]
            areas.append(auroc(marks[here], guesses[key][here], w))
            gained = log_loss(marks[here], rates[key][here]) - log_loss(marks[here], guesses[key][here])
            gains.append(1000 * (w @ gained) / np.maximum(w.sum(axis=1), 1e-9))
            sizes.append(here.sum())
        area, gain = (np.average(np.stack(one), axis=0, weights=sizes) for one in (areas, gains))
        measures[family] = (area, gain)
    return measures


def recovered(group: Group, guesses: Mapping[str, Floats]) -> list[str]:
    """APGR and the share of strong calls that recovers half the gap, for pairs that both answered the same rows."""
    lines = []
    for weak, strong in (tuple(f"success {model}" for model in pair) for pair in PAIRS):
        if weak not in group.results or strong not in group.results:
            continue
        here = ~np.isnan(group.results[weak] + group.results[strong])
        if here.sum() < FEWEST:
            continue
        gain = (group.results[strong] - group.results[weak])[here]
        wanted = (guesses[strong] - guesses[weak])[here]
        order = np.argsort(-wanted + 1e-9 * np.random.default_rng(0).random(len(wanted)), kind="stable")
        curve = np.cumsum(gain[order]) / gain.sum()
        half = float(np.argmax(curve >= 0.5) + 1) / len(curve)
        lines.append(f"{np.mean(curve):.3f}/{100 * half:.0f}%")
    return lines


def compare(
    group: Group,
    embed: Callable[[Sequence[str]], Vectors],
    texts: Mapping[str, list[str]],
    against: str,
    strength: float,
) -> None:
    """Print one line a composition, the one to compare with first."""
    count = int(group.tasks.max()) + 1
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=REPEATS)
    weights = np.concatenate([np.ones((1, count)), draws])[:, group.tasks].astype(np.float64)
    rates = foretold(group, None, strength)
    print(f"\n{group.name}: {len(group.tasks)} steps of {count} tasks; columns {len(group.results)}")
    base: Measures | None = None
    vectors = {name: embed(written) for name, written in texts.items()}
    shuffled = np.random.default_rng(1).permutation(len(group.tasks))
    vectors = {against: vectors[against], "(shuffled)": vectors[against][shuffled]} | vectors
    for name, rows in vectors.items():
        guesses = foretold(group, rows, strength)
        found = measured(group, guesses, rates, weights)
        base = base or found
        print(line(name, found, base, recovered(group, guesses)), flush=True)


def line(name: str, found: Measures, base: Measures, pairs: Sequence[str]) -> str:
    """One composition's figures."""
    shown = [f"{name:40}"]
    for family, (area, gain) in found.items():
        low, high = np.percentile((area - base[family][0])[1:], [2.5, 97.5])
        low2, high2 = np.percentile((gain - base[family][1])[1:], [2.5, 97.5])
        shown.append(
            f"{family} AUROC {area[0]:.3f} [{low:+.3f} {high:+.3f}] gain {gain[0]:6.1f} [{low2:+.1f} {high2:+.1f}]"
        )
    return "  ".join([*shown, *pairs])


def texts_of(group: Group, names: Sequence[str] | None) -> dict[str, list[str]]:
    """The compositions that differ on a group, and the library's."""
    composed = {**ASKED, **(GIVEN if any(p.result for p in group.parts) else {})}
    found: dict[str, list[str]] = {}
    for name, compose in composed.items():
        texts = [compose(p) for p in group.parts]
        if texts not in found.values() and any(texts) and (names is None or name in names):
            found[name] = texts
    return {**found, "chosen": group.chosen}


def groups(data: Path, only: Sequence[str], steps: int) -> Iterator[Group]:
    """The groups of all sets that are there, large ones thinned."""
    for name, read in SETS.items():
        if not (data / name).is_dir():
            print(f"{name} is missing in {data}")
            continue
        by_kind: dict[str, list[Case]] = defaultdict(list)
        for one in read(data):
            by_kind[one.kind].append(one)
        if len(by_kind) > 2:
            # A node's name or an editing tool makes all steps of a loop one kind.
            by_kind["all"] = [one for cases in by_kind.values() for one in cases]
        for kind, cases in sorted(by_kind.items()):
            if not only or {name, kind, f"{name}/{kind}"} & set(only):
                drawn = sorted(random.Random(0).sample(range(len(cases)), min(steps, len(cases))))
                group = group_of(f"{name}/{kind}", [cases[place] for place in drawn])
                if group.results:
                    yield group


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--only", nargs="*", default=[], help="sets, kinds or SET/KIND")
    parser.add_argument("--against", default="last", help="the composition others are compared with")
    parser.add_argument("--strength", type=float, default=STRENGTH, help="what the kind's rate counts for")
    parser.add_argument("--minilm", action="store_true", help="all-MiniLM-L6-v2, few compositions and steps")
    options = parser.parse_args()
    embedder: Embedder = OnnxEmbedder() if options.minilm else StaticEmbedder()
    for group in groups(options.data, options.only, SLOW_STEPS if options.minilm else STEPS):
        texts = texts_of(group, FEW if options.minilm else None)
        compare(group, embedder.embed_many, texts, options.against, options.strength)


if __name__ == "__main__":
    main()
