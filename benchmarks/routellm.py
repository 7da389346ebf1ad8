"""How well predictors tell when the strong model is needed, by RouteLLM's data and measures.

    python benchmarks/routellm.py --data DIR [--seeds N] [--also]

DIR/routellm holds RouteLLM's evaluation data (github.com/lm-sys/RouteLLM, Apache-2.0) as parquet: `mmlu`, `gsm8k`,
`mt_bench`; prompts that RouteLLM drops as contaminated are dropped. Reading them needs `pyarrow`. Only the text of a
question is looked at, and every question is a step of the same kind, so a predictor has to find the subject itself.

Prints markdown: CPT(50 %), CPT(80 %) and APGR of routing between Mixtral-8x7B and GPT-4-1106 in five folds, mean ± sd
over seeds, beside chance, the length of the question, and the oracle. `--also` adds other sets that DIR may have:
`mmlu_pro`, `bfcl_v1`, `llmrouter_uiuc`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steprouter.embedding import StaticEmbedder
from steprouter.learning.contenders import Contender, TableOnly
from steprouter.learning.contest import HeldOut, folds_of, hold_out, judged
from steprouter.learning.factors import Factors
from steprouter.learning.features import Seen, seen
from steprouter.learning.knn import Nearest
from steprouter.learning.logistic import Logistic
from steprouter.learning.metrics import Curve, chance, curve, log_losses, oracle, ranks, reliability
from steprouter.learning.table import Row, Table, table_of
from steprouter.learning.train import shared

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

WEAK, STRONG = "weak", "strong"

PUBLISHED = {"mmlu": (0.5007, 0.7993, 0.500), "gsm8k": (0.5000, 0.8008, 0.497), "mt_bench": (0.4903, 0.7808, 0.500)}
"""CPT(50 %), CPT(80 %), APGR of RouteLLM's random router, on all questions."""

THRESHOLDS = 10
"""At which RouteLLM reads its curves."""

REPEATS = 1000

USUAL = Logistic(settings=(2.0,))
"""Where holding back cannot be chosen anew for each fold, as there are too many."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question that both models answered.

    Attributes:
        text: The question.
        weak: Quality of the weak model's answer.
        strong: The same of the strong model's.
        domain: Its subject, which predictors do not see.
    """

    text: str
    weak: float
    strong: float
    domain: str = ""


# Reading


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a parquet file."""
    import pyarrow.parquet

    found: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return found


def routellm(data: Path, name: str) -> list[Question]:
    """MMLU or GSM8K with what both models made of it."""
    return [
        Question(
            text=row["prompt"],
            weak=float(row["mixtral_8x7b_correct"]),
            strong=float(row["gpt_4_1106_correct"]),
            domain=row.get("domain", ""),
        )
        for row in rows_of(data / "routellm" / f"{name}.parquet")
        if not row["contaminated"]
    ]


def mt_bench(data: Path) -> list[Question]:
    """The first turns of MT-Bench; the quality is the mean of both turns' scores, by tenths."""

    def score(row: dict[str, Any], model: str) -> float:
        return float(np.mean([row[f"{model}_score_turn1"], row[f"{model}_score_turn2"]])) / 10

    return [
        Question(text=row["turn1"], weak=score(row, "mixtral_8x7b"), strong=score(row, "gpt_4_1106"))
        for row in rows_of(data / "routellm" / "mt_bench.parquet")
        if not row["contaminated"]
    ]


def scored(
    data: Path, folder: str, key: Callable[[dict[str, Any]], Any], score: str, texts: Mapping[Any, tuple[str, str]]
) -> Callable[[str, str], list[Question]]:
    """Questions of a set whose results are one row a model, for any pair of models."""
    of: dict[str, dict[Any, float]] = defaultdict(dict)
    for row in rows_of(data / folder / "results.parquet"):
        of[row["model"]][key(row)] = float(row[score])

    def questions(weak: str, strong: str) -> list[Question]:
        both = [one for one in texts if one in of[weak] and one in of[strong]]
        return [Question(text=texts[k][0], weak=of[weak][k], strong=of[strong][k], domain=texts[k][1]) for k in both]

    return questions


def others(data: Path) -> Iterator[tuple[str, list[Question]]]:
    """Pairs of models of other sets that are there."""
    if (data / "mmlu_pro").is_dir():
        texts = {
            row["question_id"]: (f"{row['question']}\n{row['options']}", row["category"])
            for row in rows_of(data / "mmlu_pro" / "questions.parquet")
        }
        pairs = scored(data, "mmlu_pro", lambda row: row["question_id"], "correct", texts)
        for weak, strong in (
            ("Meta-Llama-3_1-8B-Instruct", "gpt-4o-2024-05-13"),
            ("gemini-1.5-flash-002", "gemini-1.5-pro-002"),
        ):
            yield f"mmlu_pro {weak} → {strong}", pairs(weak, strong)
    if (data / "bfcl_v1").is_dir():
        texts = {
            (row["category"], row["idx"]): (row["question"], row["category"])
            for row in rows_of(data / "bfcl_v1" / "questions.parquet")
        }
        pairs = scored(data, "bfcl_v1", lambda row: (row["category"], row["idx"]), "correct", texts)
        weak, strong = "gpt-3.5-turbo-0125-FC", "gpt-4o-2024-05-13-FC"
        yield f"bfcl_v1 {weak} → {strong}", pairs(weak, strong)
    if (data / "llmrouter_uiuc").is_dir():
        texts = {
            row["qid"]: (row["question"], row["task"]) for row in rows_of(data / "llmrouter_uiuc" / "questions.parquet")
        }
        pairs = scored(data, "llmrouter_uiuc", lambda row: row["qid"], "score", texts)
        weak, strong = "llama-3.1-8b-instruct", "llama-3.1-nemotron-51b-instruct"
        yield f"llmrouter_uiuc {weak} → {strong}", pairs(weak, strong)


# Measuring


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Questions in columns, read and embedded.

    Attributes:
        table: Two rows a question.
        read: Its features.
        weak: (n,) quality of the weak model, of the steps that both answered.
        strong: (n,) the same of the strong model.
        steps: (n,) the places of these steps.
        lengths: (n,) characters.
        domains: (items,) number of each step's subject.
    """

    table: Table
    read: Seen
    weak: Floats
    strong: Floats
    steps: Numbers
    lengths: Floats
    domains: Numbers

    def routed(self, chances: Floats, folds: Numbers) -> Curve:
        """The curve of routing by the difference of two probabilities, thresholds set in each fold."""
        lead = chances[:, self.table.models.index(STRONG)] - chances[:, self.table.models.index(WEAK)]
        return curve(ranks(lead[self.steps], folds[self.steps]), self.weak, self.strong)


def case_of(questions: Sequence[Question], *, apart: bool = False) -> Case:
    """The case of questions; one that is asked twice is one, unless all are to be kept apart."""
    rows, domains = [], {}
    for number, one in enumerate(questions):
        domains[one.text] = one.domain
        for model, quality in ((WEAK, one.weak), (STRONG, one.strong)):
            group = str(number) if apart else None
            rows.append(Row(kind="answer", model=model, success=quality, text=one.text, group=group))
    table = table_of(rows)
    texts = table.items.texts or ()
    table = replace(table, items=replace(table.items, vectors=StaticEmbedder().embed_many(texts)))
    steps, weak, strong = shared(table, table.models.index(WEAK), table.models.index(STRONG))
    names = sorted(set(domains.values()))
    return Case(
        table=table,
        read=seen(table.items),
        weak=weak,
        strong=strong,
        steps=steps,
        lengths=np.array([len(texts[step]) for step in steps], dtype=np.float64),
        domains=np.array([names.index(domains[text]) for text in texts], dtype=np.int64),
    )


def figures(drawn: Curve) -> tuple[float, float, float]:
    """CPT(50 %), CPT(80 %) and APGR."""
    return drawn.cpt(0.5), drawn.cpt(0.8), drawn.apgr


def at_their_thresholds(weak: Floats, strong: Floats, seed: int) -> tuple[float, float, float]:
    """The random router as RouteLLM measures it: scores by lot, read at ten thresholds."""
    scores = np.random.default_rng(seed).random(len(weak))
    cuts = np.quantile(scores, np.linspace(1, 0, THRESHOLDS + 1))
    points = [(scores >= cut, cut) for cut in cuts[1:]]
    shares = np.array([0.0, *(chosen.mean() for chosen, _ in points)])
    qualities = np.array([weak.mean(), *(np.where(chosen, strong, weak).mean() for chosen, _ in points)])
    return figures(Curve(shares=shares, qualities=qualities))


def cell(values: Sequence[float], *, percent: bool) -> str:
    """Mean ± sd."""
    scale, digits = (100, 1) if percent else (1, 3)
    mean, sd = scale * float(np.mean(values)), scale * float(np.std(values))
    return f"{mean:.{digits}f} ± {sd:.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"


def line(name: str, found: Sequence[tuple[float, float, float]], rest: Sequence[str] = ()) -> None:
    """One row of a table."""
    columns = list(zip(*found, strict=True))
    shown = [cell(columns[0], percent=True), cell(columns[1], percent=True), cell(columns[2], percent=False)]
    print(f"| {name} | {' | '.join([*shown, *rest])} |", flush=True)


def heading(title: str, *columns: str) -> None:
    """A table's head."""
    names = ["router", "CPT(50 %)", "CPT(80 %)", "APGR", *columns]
    if title:
        print(f"\n{title}")
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def quality(case: Case, told: HeldOut) -> tuple[float, float]:
    """Log loss and calibration error."""
    table = case.table
    guesses = told.chances[table.item, table.model]
    return float(log_losses(table.success, guesses).mean()), reliability(table.success, guesses).ece


def compare(name: str, questions: Sequence[Question], seeds: int) -> None:
    """Five folds inside a set: every contender, beside chance, length and oracle."""
    case = case_of(questions)
    apart = case_of(questions, apart=True)
    heading(
        f"**{name}**, {len(case.steps)} questions: weak {case.weak.mean():.3f}, strong {case.strong.mean():.3f}",
        "log loss",
        "ECE",
        "won",
    )
    line("chance", [figures(chance(case.weak, case.strong))], ["", "", ""])
    line("longer question", [figures(curve(case.lengths, case.weak, case.strong))], ["", "", ""])
    entrants: tuple[Contender, ...] = (TableOnly(), Nearest(), Factors(), Logistic())
    told: dict[str, list[tuple[HeldOut, tuple[float, float, float]]]] = defaultdict(list)
    wins: dict[str, int] = defaultdict(int)
    for seed in range(seeds):
        folds = folds_of(case.table.items.groups, seed)
        every = [hold_out(one, case.read, case.table, folds, seed) for one in entrants]
        wins[judged(case.table, every, seed).winner] += 1
        for one in every:
            told[one.name].append((one, figures(case.routed(one.chances, folds))))
    for entrant, found in told.items():
        losses, errors = zip(*(quality(case, one) for one, _ in found), strict=True)
        rest = [f"{np.mean(losses):.4f}", f"{np.mean(errors):.3f}", f"{wins[entrant]} of {seeds}"]
        line(entrant, [figure for _, figure in found], rest)
    repeated = []
    for seed in range(seeds):
        folds = folds_of(apart.table.items.groups, seed)
        repeated.append(
            figures(apart.routed(hold_out(Logistic(), apart.read, apart.table, folds, seed).chances, folds))
        )
    line("logistic, repeated questions kept", repeated, ["", "", ""])
    line("oracle", [figures(oracle(case.weak, case.strong))], ["", "", ""])
    if case.domains.max() > 0:
        print(f"\nNo subject in learning and test at once ({case.domains.max() + 1} subjects, one left out at a time):")
        heading("", "log loss", "ECE")
        unseen: tuple[Contender, ...] = (TableOnly(), Nearest(settings=(10.0,)), USUAL)
        every = [hold_out(contender, case.read, case.table, case.domains, 0) for contender in unseen]
        everywhere = np.zeros(len(case.domains), dtype=np.int64)
        for left in every:
            # One threshold for all subjects, as a router has. What a mean that leaves a subject out tells of that
            # subject, and backwards, is taken away: with it the table alone would be far below chance.
            logits = left.logits - every[0].logits + every[0].logits.mean(axis=0)
            drawn = case.routed(0.5 + 0.5 * np.tanh(logits / 2), everywhere)
            loss, error = quality(case, left)
            line(left.name, [figures(drawn)], [f"{loss:.4f}", f"{error:.3f}"])


def transfer(learnt: str, case: Case, tested: str, questions: Sequence[Question]) -> None:
    """Learnt on one set, tested on another, with a bootstrap interval over questions."""
    there = case_of(questions)
    together = table_of([*rows_again(case), *rows_again(there)])
    vectors = StaticEmbedder().embed_many(together.items.texts or ())
    read = seen(replace(together.items, vectors=vectors))
    texts = {text: place for place, text in enumerate(together.items.texts or ())}
    mine = np.zeros(len(together.items), dtype=bool)
    mine[[texts[text] for text in case.table.items.texts or ()]] = True
    asked = np.array([texts[(there.table.items.texts or ())[step]] for step in there.steps])
    for contender in (Nearest(settings=(10.0,)), USUAL):
        fitted = contender.fit(read, together.of_items(mine), contender.settings[0])
        order = np.argsort(asked)
        logits = np.empty((len(asked), 2))
        logits[order] = fitted.logits(asked[order])
        chances = 0.5 + 0.5 * np.tanh(logits / 2)
        scores = chances[:, together.models.index(STRONG)] - chances[:, together.models.index(WEAK)]
        interval(f"{contender.name}, learnt on {learnt}", scores, there.weak, there.strong, tested)


def rows_again(case: Case) -> Iterator[Row]:
    """The rows of a case."""
    table, texts = case.table, case.table.items.texts or ()
    for item, model, success in zip(table.item, table.model, table.success, strict=True):
        yield Row(kind="answer", model=table.models[model], success=float(success), text=texts[item])


def interval(name: str, scores: Floats, weak: Floats, strong: Floats, tested: str) -> None:
    """One row with a 95 % bootstrap interval of APGR; samples in which the strong model is no better are left out."""
    rng, drawn = np.random.default_rng(0), []
    for _ in range(REPEATS):
        rows = rng.integers(0, len(scores), len(scores))
        sample = curve(scores[rows], weak[rows], strong[rows])
        if sample.gap > 0:
            drawn.append(sample.apgr)
    low, high = np.percentile(drawn, [2.5, 97.5])
    line(name, [figures(curve(scores, weak, strong))], [f"{low:.3f} to {high:.3f}", tested])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--seeds", type=int, default=3, help="ways to cut folds")
    parser.add_argument("--also", action="store_true", help="other sets besides RouteLLM's")
    options = parser.parse_args()
    if not (options.data / "routellm").is_dir():
        parser.error(f"{options.data} has no folder 'routellm'")
    sets = {name: routellm(options.data, name) for name in ("gsm8k", "mmlu")}
    bench = mt_bench(options.data)
    heading("Our measures beside RouteLLM's published random router (20 draws at ten thresholds)", "published")
    for name, questions in (*sets.items(), ("mt_bench", bench)):
        weak, strong = (np.array([getattr(one, side) for one in questions]) for side in (WEAK, STRONG))
        published = " / ".join(f"{100 * v:.2f}" if v != PUBLISHED[name][2] else f"{v:.3f}" for v in PUBLISHED[name])
        line(f"random, {name}", [at_their_thresholds(weak, strong, seed) for seed in range(20)], [published])
        line(f"chance, exactly, {name}", [figures(chance(weak, strong))], [""])
    for name, questions in sets.items():
        compare(f"routellm {name}", questions, options.seeds)
    heading("Learnt on one set, tested on another", "95 % of APGR", "tested on")
    cases = {name: case_of(questions) for name, questions in sets.items()}
    transfer("mmlu", cases["mmlu"], "gsm8k", sets["gsm8k"])
    transfer("gsm8k", cases["gsm8k"], "mmlu", sets["mmlu"])
    transfer("mmlu and gsm8k", case_of([*sets["mmlu"], *sets["gsm8k"]]), "mt_bench", bench)
    weak, strong = (np.array([getattr(one, side) for one in bench]) for side in (WEAK, STRONG))
    interval("longer question", np.array([float(len(one.text)) for one in bench]), weak, strong, "mt_bench")
    interval("chance", np.zeros(len(bench)), weak, strong, "mt_bench")
    if options.also:
        for name, questions in others(options.data):
            compare(name, questions, options.seeds)


if __name__ == "__main__":
    main()
