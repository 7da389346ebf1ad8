"""How well answers that broke off are gone on with: two real models, real HTTP, connections reset at any byte.

    python scripts/local_models get small large
    python benchmarks/resumption.py [--cuts N] [--seed N] [--only PART] [--results FILE]

Each cut is a stream of a model's greedy answer through a proxy on this machine that resets the connection at a place
drawn anywhere in the body. What was heard until then is gone on with in each way, and the whole is compared with the
answer that nothing cut. What the models said is kept in the results file: a run that was stopped goes on from it, and
`--again` judges it once more without asking any model. About 25 minutes on two cores; nothing is sent out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from langchain_core.messages import HumanMessage
from resumption_clean import fault
from resumption_models import exactly_served
from resumption_prompts import PROMPTS
from resumption_proxy import CuttingProxy

from steprouter import ModelCard
from steprouter.answering.answer import Delta
from steprouter.answering.continuing import continued
from steprouter.answering.resume import Rung, Salvage, salvaged
from steprouter.answering.resuming import Resuming
from steprouter.answering.seam import Unjoinable
from steprouter.answering.shape import Hold, Shaper
from steprouter.providers.chat_completions import ChatCompletionsWire
from steprouter.providers.refusals import WireError
from steprouter.providers.wire import Timeouts
from steprouter.step.ask import Ask

MODELS = {"small": "SmolLM2-135M", "large": "Qwen2.5-0.5B"}
MOST_TOKENS = 48
"""Of an answer: the longest of small models are not better."""

UNCUT_TOKENS = 2 * MOST_TOKENS
"""What is left of a limit is only estimated, so that a continued answer may be longer than the limit."""

ASKED_TOKENS = 80
"""Of what a model may say that was asked in words to go on: it may say all that was shown before it does."""

TIMEOUTS = Timeouts(first_token=120.0, idle=60.0)
SHARES = {
    (Rung.PREFILL, "small", "small"): 0.70,
    (Rung.PREFILL, "large", "large"): 0.35,
    (Rung.INSTRUCTION, "small", "small"): 0.30,
    (Rung.INSTRUCTION, "large", "large"): 0.22,
    (Rung.PREFILL, "small", "large"): 0.25,
    (Rung.PREFILL, "large", "small"): 0.27,
    (Rung.INSTRUCTION, "small", "large"): 0.20,
    (Rung.INSTRUCTION, "large", "small"): 0.32,
}
"""How many of the cuts are gone on with so: the way, the model that broke, the model that goes on. The large one is
three times slower than the small one, and reading an instruction takes it longer than going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncut:
    """An answer that nothing cut, longer than it may be otherwise.

    Attributes:
        model: Who said it.
        prompt: What was asked, by name.
        text: All of it.
        finish: Why it ended.
        body_bytes: Of its body, up to where a limited answer ends.
    """

    model: str
    prompt: str
    text: str
    finish: str | None
    body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A stream that was reset.

    Attributes:
        model: Who said it.
        prompt: What was asked, by name.
        at_byte: Where in the body.
        state: How far it had come, as the library sees it.
        shown: What a consumer had seen.
        fragment: What came after that.
        finish: Why the model had stopped, if it had.
    """

    model: str
    prompt: str
    at_byte: int
    state: str
    shown: str
    fragment: str
    finish: str | None

    @property
    def salvage(self) -> Salvage:
        """What the library goes on from."""
        return Salvage(shown=self.shown, fragment=self.fragment, finish=self.finish)


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """What came back from a model that was to go on.

    Attributes:
        rung: How it was asked.
        model: Who broke.
        by: Who went on.
        prompt: What was asked, by name.
        at_byte: Where the stream was reset.
        pieces: Its text, piece by piece, with the seconds of each since the first.
        finish: Why it ended; None where it broke.
        error: What went wrong.
    """

    rung: Rung
    model: str
    by: str
    prompt: str
    at_byte: int
    pieces: list[tuple[str, float]] = field(repr=False)
    finish: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a cut.

    Attributes:
        cut: The stream that broke.
        went: What came back.
        new: What the consumer saw after the seam.
        join: How it was joined.
        refused: Why it could not be joined; the consumer gets an error that carries what he saw.
        is_completed: Whether the joined answer has a finish reason.
        is_exact: Whether it is the answer that nothing cut, as far as the limit lets both go.
        fault: Why the seam is not clean.
    """

    cut: Cut
    went: Went
    new: str
    join: str
    refused: str | None
    is_completed: bool
    is_exact: bool
    fault: str | None


class Results:
    """What models said, one JSON object a line, so that a run that was stopped goes on.

    Args:
        path: The file; it is made where it does not exist.
        settings: What decides the answers; a file of others is refused.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.uncut: dict[tuple[str, str], Uncut] = {}
        self.cuts: dict[tuple[str, str, int], Cut] = {}
        self.went: dict[tuple[Rung, str, str, str, int], Went] = {}
        if not path.exists():
            path.write_text(json.dumps({"settings": settings}) + "\n")
        for line in path.read_text().splitlines():
            for kind, value in json.loads(line).items():
                if kind == "settings" and value != settings:
                    raise SystemExit(f"{path} must be of a run with {settings}, got {value}; name another --results")
                if kind != "settings":
                    self.take(kind, value)

    def take(self, kind: str, value: dict[str, Any]) -> None:
        """Remember a line."""
        if kind == "uncut":
            one = Uncut(**value)
            self.uncut[one.model, one.prompt] = one
        elif kind == "cut":
            cut = Cut(**value)
            self.cuts[cut.model, cut.prompt, cut.at_byte] = cut
        else:
            went = Went(**{**value, "rung": Rung(value["rung"]), "pieces": [(t, s) for t, s in value["pieces"]]})
            self.went[went.rung, went.model, went.by, went.prompt, went.at_byte] = went

    def add(self, kind: str, value: Uncut | Cut | Went) -> None:
        """Remember, and write down."""
        told = asdict(value)
        self.take(kind, told)
        with self.path.open("a") as file:  # one write a line: threads do not mix them
            file.write(json.dumps({kind: told}, ensure_ascii=False) + "\n")


class Bench:
    """Two models, each behind a proxy that cuts.

    Args:
        urls: Base URLs by model name.
        results: What is known already.
        stack: Closes what was opened.
    """

    def __init__(self, urls: dict[str, str], results: Results, stack: ExitStack) -> None:
        self.results = results
        self.proxies = {name: stack.enter_context(CuttingProxy(url)) for name, url in urls.items()}
        self.wires = {name: ChatCompletionsWire(card(name, proxy.url)) for name, proxy in self.proxies.items()}
        for wire in self.wires.values():
            stack.callback(wire.close)

    def whole(self, model: str, prompt: str) -> None:
        """Take down an answer that nothing cuts."""
        pieces = list(self.wires[model].stream(ask_for(prompt, UNCUT_TOKENS), TIMEOUTS))
        said = [piece.text for piece in pieces if piece.text]
        share = min(1.0, (MOST_TOKENS + 2) / max(1, len(said)))
        self.results.add(
            "uncut",
            Uncut(
                model=model,
                prompt=prompt,
                text="".join(said),
                finish=next((piece.finish for piece in pieces if piece.finish), None),
                body_bytes=int(self.proxies[model].body_bytes * share),
            ),
        )

    def cut(self, model: str, prompt: str, at_byte: int) -> None:
        """Take down an answer that is reset."""
        shaper, proxy = Shaper(Hold.TOOL_CALLS), self.proxies[model]
        proxy.cut_after = at_byte
        try:
            for delta in self.wires[model].stream(ask_for(prompt), TIMEOUTS):
                shaper.feed(delta)
        except WireError:
            pass  # that it breaks is the point
        left = salvaged(shaper)
        found = Cut(
            model=model,
            prompt=prompt,
            at_byte=at_byte,
            state=left.state.value,
            shown=left.shown,
            fragment=left.fragment,
            finish=left.finish,
        )
        self.results.add("cut", found)

    def go_on(self, rung: Rung, cut: Cut, by: str) -> None:
        """Take down what a model goes on with."""
        pieces: list[tuple[str, float]] = []
        finish: str | None = None
        error: str | None = None
        began: float | None = None
        try:
            for delta in self.wires[by].stream(continued(gone_on(cut, rung), cut.salvage, rung), TIMEOUTS):
                now = time.monotonic()
                began = now if began is None else began
                finish = delta.finish or finish
                if delta.text:
                    pieces.append((delta.text, round(now - began, 4)))
        except WireError as broke:
            error = str(broke)
        self.results.add(
            "went",
            Went(
                rung=rung,
                model=cut.model,
                by=by,
                prompt=cut.prompt,
                at_byte=cut.at_byte,
                pieces=pieces,
                finish=finish,
                error=error,
            ),
        )


def card(name: str, url: str) -> ModelCard:
    """A model that says the same each time."""
    # With each token computed alone, a prompt that is still in the cache gives the same answer as one that is not.
    settings = {"temperature": 0, "cache_prompt": True, "max_tokens": ASKED_TOKENS}
    return ModelCard(name=name, model=name, base_url=url, settings=settings)


def ask_for(prompt: str, tokens: int | None = MOST_TOKENS) -> Ask:
    """A prompt as the router asks it, with the caller's limit if he has set one."""
    return Ask(messages=(HumanMessage(PROMPTS[prompt]),), settings={} if tokens is None else {"max_tokens": tokens})


def gone_on(cut: Cut, rung: Rung) -> Ask:
    """What is gone on with: under a limit from a partial turn, which is then lowered, and else under the card's."""
    return ask_for(cut.prompt, None if rung is Rung.INSTRUCTION else MOST_TOKENS)


def places(results: Results, model: str, seed: int) -> Iterator[tuple[str, int]]:
    """Where to cut, without end: the prompts by turns, a byte of the body each time."""
    drawn = Random(f"{seed} {model}")
    while True:
        for prompt in PROMPTS:
            yield prompt, drawn.randint(1, results.uncut[model, prompt].body_bytes)


def cuts(results: Results, model: str, seed: int, wanted: int) -> Iterator[tuple[str, int, Cut | None]]:
    """Cuts in the order they were drawn until so many of them can be gone on with; None for what is not made yet."""
    seen: set[tuple[str, int]] = set()
    for prompt, at_byte in places(results, model, seed):
        if wanted <= 0:
            return
        if (prompt, at_byte) in seen:
            continue
        seen.add((prompt, at_byte))
        yield prompt, at_byte, results.cuts.get((model, prompt, at_byte))
        made = results.cuts[model, prompt, at_byte]
        wanted -= is_resumable(made)


def is_resumable(cut: Cut) -> bool:
    """Whether text was shown and more was to come."""
    return bool(cut.shown) and cut.finish is None


def make_cuts(bench: Bench, model: str, seed: int, wanted: int) -> None:
    """All cuts of one model."""
    for prompt in PROMPTS:
        if (model, prompt) not in bench.results.uncut:
            bench.whole(model, prompt)
    for prompt, at_byte, found in cuts(bench.results, model, seed, wanted):
        if found is None:
            bench.cut(model, prompt, at_byte)


def make_continuations(bench: Bench, by: str, jobs: Sequence[tuple[Rung, Cut]]) -> None:
    """All continuations by one model, those of one prompt together, since it has read that already."""
    for rung, cut in sorted(jobs, key=lambda job: (job[1].prompt, job[0], job[1].at_byte)):
        if (rung, cut.model, by, cut.prompt, cut.at_byte) not in bench.results.went:
            bench.go_on(rung, cut, by)


def wanted_cuts(model: str, number: int) -> int:
    """How many cuts of a model are needed."""
    return round(number * max(share for (_, broke, _), share in SHARES.items() if broke == model))


def jobs_for(results: Results, seed: int, number: int, only: Callable[[Rung, str, str], bool]) -> dict[str, Any]:
    """By the model that goes on, what it is to go on with."""
    made = {
        model: [cut for *_, cut in cuts(results, model, seed, wanted_cuts(model, number)) if cut and is_resumable(cut)]
        for model in MODELS
    }
    jobs: dict[str, list[tuple[Rung, Cut]]] = {model: [] for model in MODELS}
    for (rung, model, by), share in SHARES.items():
        if only(rung, model, by):
            jobs[by] += [(rung, cut) for cut in made[model][: round(number * share)]]
    return jobs


def judged(results: Results, rung: Rung, cut: Cut, by: str) -> Verdict | None:
    """What the library makes of a continuation; None where it was not made."""
    went = results.went.get((rung, cut.model, by, cut.prompt, cut.at_byte))
    if went is None:
        return None
    heard = iter([seconds for _, seconds in went.pieces])
    resuming = Resuming(ask=gone_on(cut, rung), salvage=cut.salvage, rung=rung)
    shaper = resuming.start(watched=True, now=lambda: next(heard))
    seen: list[str] = []
    for text, _ in went.pieces:
        piece = shaper.feed(Delta(text))
        seen += [piece.text] if piece is not None else []
        if shaper.is_over:
            break
    else:
        shaper.feed(Delta(finish=went.finish))
    if shaper.finish is not None:
        seen += [piece.text for piece in shaper.answer().unshown]
    join, new, uncut = shaper.join, "".join(seen), results.uncut[cut.model, cut.prompt]
    refused = join.why if isinstance(join, Unjoinable) else None
    is_completed = refused is None and went.error is None and shaper.finish is not None
    why = None if refused else fault(PROMPTS[cut.prompt], cut.shown, new, uncut.text)
    return Verdict(
        cut=cut,
        went=went,
        new=new,
        join="" if join is None else f"{join}",
        refused=refused,
        is_completed=is_completed,
        is_exact=is_completed and is_same(cut.shown + new, shaper.finish, uncut),
        fault=why,
    )


def is_same(text: str, finish: str | None, uncut: Uncut) -> bool:
    """Whether an answer is the one that nothing cut. Where a limit ended one of the two, as far as both go."""
    # A limit may end an answer in the middle of a character.
    one, other = text.rstrip("\ufffd"), uncut.text.rstrip("\ufffd")
    if finish == "stop" and uncut.finish == "stop":
        return one == other
    if finish == "stop":
        return False
    return other.startswith(one)


COLUMNS = ("way", "broke", "goes on", "cuts", "completed", "refused", "clean", "of joined", "exact")


def percent(part: int, whole: int) -> str:
    """A share of the cuts."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def row(way: str, broke: str, by: str, found: Sequence[Verdict]) -> tuple[str, ...]:
    """What became of some cuts, as a line of the table."""
    total, joined = len(found), sum(one.refused is None for one in found)
    clean = sum(one.refused is None and one.fault is None for one in found)
    return (
        way,
        broke,
        by,
        str(total),
        percent(sum(one.is_completed for one in found), total),
        percent(total - joined, total),
        str(clean),
        percent(clean, joined),
        percent(sum(one.is_exact for one in found), total),
    )


def table(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """A line for each way and pair of models, and one for each way over both models."""
    rows: list[tuple[str, ...]] = []
    for is_hop in (False, True):
        for rung in (Rung.PREFILL, Rung.INSTRUCTION):
            ways = [one for one in verdicts if one.went.rung is rung and (one.cut.model != one.went.by) == is_hop]
            name = f"{rung.value}{', another model' if is_hop else ''}"
            for model in MODELS:
                some = [one for one in ways if one.cut.model == model]
                if some:
                    rows.append(row(name, MODELS[model], MODELS[some[0].went.by], some))
            if ways:
                rows.append(row(name, "both", "", ways))
    return rows


def show(head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """A table in markdown."""
    widths = [max(len(line[at]) for line in (head, *rows)) for at in range(len(head))]
    words = 3
    for line in (tuple(head), tuple("-" * width for width in widths), *rows):
        cells = [
            cell.ljust(width) if at < words else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print(f"| {' | '.join(cells)} |")


def report(results: Results, jobs: dict[str, list[tuple[Rung, Cut]]], unclean: Path | None) -> None:
    """Print what came of all."""
    verdicts = [
        verdict
        for by, some in jobs.items()
        for rung, cut in some
        if (verdict := judged(results, rung, cut, by)) is not None
    ]
    states = Counter(
        "all was said" if cut.finish else "some was shown" if cut.shown else "nothing was shown"
        for cut in results.cuts.values()
    )
    print(f"{sum(states.values())} streams were reset: {', '.join(f'{n} where {what}' for what, n in states.items())}.")
    print(f"Of those with text shown, {len(verdicts)} continuations were made and joined:\n")
    show(COLUMNS, table(verdicts))
    reasons = Counter(
        (one.went.rung.value, one.refused or one.fault or "") for one in verdicts if one.refused or one.fault
    )
    print()
    for (rung, why), times in reasons.most_common():
        print(f"  {rung:11} {times:4}  {why}")
    if unclean is not None:
        with unclean.open("w") as file:
            for one in verdicts:
                if one.refused or one.fault or not one.is_completed:
                    file.write(json.dumps(case(results, one), ensure_ascii=False) + "\n")


def case(results: Results, one: Verdict) -> dict[str, Any]:
    """A seam that is not clean, for whoever looks into it."""
    text = results.uncut[one.cut.model, one.cut.prompt].text
    return {
        "rung": one.went.rung.value,
        "model": one.cut.model,
        "by": one.went.by,
        "prompt": one.cut.prompt,
        "at_byte": one.cut.at_byte,
        "fault": one.fault,
        "refused": one.refused,
        "shown": one.cut.shown,
        "fragment": one.cut.fragment,
        "raw": "".join(text for text, _ in one.went.pieces),
        "finish": one.went.finish,
        "error": one.went.error,
        "new": one.new,
        "expected": text[len(one.cut.shown) :],
        "join": one.join,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=420, help="scale: about so many from a partial turn")
    parser.add_argument("--seed", type=int, default=1, help="of the places of the cuts (default %(default)s)")
    parser.add_argument("--only", default="", help="ways whose name holds this: prefill, instruction, small-large …")
    parser.add_argument("--results", type=Path, help="what the models said (default: in the temporary folder)")
    parser.add_argument("--unclean", type=Path, help="write the seams that are not clean to this file")
    parser.add_argument("--again", action="store_true", help="judge the results file without asking any model")
    given = parser.parse_args()

    def only(rung: Rung, model: str, by: str) -> bool:
        return given.only in f"{rung.value} {model}-{by}"

    path = given.results or Path(tempfile.gettempdir()) / f"steprouter-resumption-{given.seed}.jsonl"
    results = Results(path, {"seed": given.seed, "tokens": MOST_TOKENS, "asked_tokens": ASKED_TOKENS})
    began = time.monotonic()
    if not given.again:
        with ExitStack() as stack, ThreadPoolExecutor(len(MODELS)) as pool:
            bench = Bench(dict(stack.enter_context(exactly_served(list(MODELS)))), results, stack)
            for made in [
                pool.submit(make_cuts, bench, model, given.seed, wanted_cuts(model, given.cuts)) for model in MODELS
            ]:
                made.result()
            jobs = jobs_for(results, given.seed, given.cuts, only)
            for done in [pool.submit(make_continuations, bench, by, some) for by, some in jobs.items()]:
                done.result()
    report(results, jobs_for(results, given.seed, given.cuts, only), given.unclean)
    print(f"\n{time.monotonic() - began:.0f} s; what the models said is in {path.name}")


if __name__ == "__main__":
    main()
