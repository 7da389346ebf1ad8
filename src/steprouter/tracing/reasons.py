"""Why a model answered, or why none did, in a few words: what decisions and moves say at length, made short.

A trace keeps reasons as sentences. They are recognised by their wording here, so that a table can name what stood
in the way; a sentence that is not recognised is shown as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .record import AttemptRecord, PassedRecord, Trace
from .wording import TEXT_CHARACTERS, duration, listed, name, visible

BARRIERS = tuple(
    (re.compile(pattern), short)
    for pattern, short in (
        (r"being probed$", "circuit just being probed"),
        (r"^circuit open for (\d+ s)", r"circuit open for \1"),
        (r" is open \(", "circuit open"),
        (r"asked to be left alone for ([\d.]+ s)", r"rate limited for \1"),
        (r"^(\d+) calls (?:of .+ )?are under way", r"busy with \1 calls"),
        (r"^counted as ([\d.]+×) dearer", "slow, counted as \\1 dearer"),
        (r"^out until its configuration changes.*?: (.+)", r"out: \1"),
        (r"^budget (.+) is past its threshold", r"budget \1 nearly used up"),
        (r"^budget (.+): .+ are spent or set aside", r"budget \1 used up"),
        (r"^the price of .+ is unknown, and (budget .+) counts USD", r"price unknown to \1"),
        (r"was given its (\d+ \w+ a minute)$", r"its \1 used up"),
        (r"^the call may take \d+ tokens, more than the (\d+)", r"longer than its \1 tokens a minute"),
    )
)
"""How the reasons of `routing.availability`, `routing.decide` and the store's gate and ledger begin, made short."""

FIRST_BUT = " would come first, but: "
SLOW_TO_BEGIN = " was slow to begin"
FALLBACK = "; the fallback answers"
REROUTED = "; rerouted by policy"
MESSAGE = "the content filter's fallback message"


def in_short(trace: Trace) -> str:
    """Why this model answered, or why none did."""
    if trace.probe_of is not None:
        return f"probe: {trace.outcome}"
    if trace.model is None:
        return unanswered(trace)
    answer = trace.answer
    if trace.cache == "hit":
        layer = "" if trace.cached is None or trace.cached.layer is None else f" ({trace.cached.layer})"
        return f"from the cache{layer}"
    if answer is not None and answer.why == MESSAGE:
        return f"the policy's own message, after {'; '.join(troubles(trace))}"
    if trace.outcome == "insufficient":
        return f"best there was: {'; '.join(answer.problems if answer else ())}"
    if answer is None:
        return decided(trace, trace.reason)
    return after(trace, answer) or decided(trace, answer.why)


def unanswered(trace: Trace) -> str:
    """Why no model answered."""
    told = "; ".join(troubles(trace))
    # An ending that is what the failures are called need not be said twice.
    return told if told and trace.outcome in told else ": ".join(filter(None, [trace.outcome, told]))


def after(trace: Trace, answer: AttemptRecord) -> str | None:
    """Why a model answered that was not simply the first; None where it was."""
    why = answer.why
    if " was not sufficient: " in why:
        return f"escalated: {why.split(' was not sufficient: ', 1)[1]}"
    if why.endswith(SLOW_TO_BEGIN):
        return f"answered first, {why}"
    if why.endswith(FALLBACK):
        return f"fallback: {barrier(why.removesuffix(FALLBACK))}"
    if why.endswith(REROUTED):
        return f"rerouted: {why.removesuffix(REROUTED)}"
    if answer.redacted:
        return f"asked redacted: {refusers(trace, answer)} refused on content"
    told = "; ".join(troubles(trace))
    if not told:
        return None
    failed, held = {one.model for one in before(trace)}, held_back(trace)
    if answer.model in failed:
        # Whom it is about the column beside it says.
        return f"asked again after {told.removeprefix(f'{name(answer.model)} failed: ')}"
    if failed or answer.model in held:
        return f"after {told}"
    return "; ".join(f"instead of {name(model)}: {short}" for model, short in held.items())


def before(trace: Trace) -> list[AttemptRecord]:
    """The attempts whose answer was not given, but for those that lost a race: they were never heard out."""
    return [one for one in trace.attempts if one is not trace.answer and not one.lost_race]


def refusers(trace: Trace, answer: AttemptRecord) -> str:
    """Who refused before it was asked redacted."""
    return name(next((one.model for one in before(trace) if not one.redacted), answer.model))


def troubles(trace: Trace) -> list[str]:
    """What went wrong in a step, one clause for each kind of trouble, and what was waited."""
    failed: dict[str, list[str]] = {}
    for one in before(trace):
        failed.setdefault(result(one), []).append(name(one.model))
    told = [f"{several(models)}: {how}" for how, models in failed.items()]
    told += [f"{name(model)} could not be asked: {short}" for model, short in held_back(trace).items()]
    waited = waited_seconds(trace)
    return [*told, f"{duration(waited)} waited"] if waited else told


def held_back(trace: Trace) -> Mapping[str, str]:
    """Who could not be asked, and what stood in the way when it was last tried."""
    return {one.model: barrier(one.why) for one in trace.passed}


def several(models: Sequence[str]) -> str:
    """Who failed, and how often if one did more than once."""
    each = list(dict.fromkeys(models))
    return f"{listed(each)} failed{times(len(models)) if len(models) > len(each) else ''}"


def times(amount: int) -> str:
    """How often something happened, where it was more than once."""
    return {1: "", 2: " twice"}.get(amount, f" {amount} times")


def waited_seconds(trace: Trace) -> float:
    """What was waited in all."""
    return sum(one.waited_seconds for one in trace.attempts)


def result(attempt: AttemptRecord) -> str:
    """`ok`, `not sufficient`, or the kind of failure with its HTTP status."""
    failure = attempt.failure
    if attempt.lost_race:
        return "lost the race"
    if attempt.why == MESSAGE:
        return "own message"
    if failure is None:
        return "not sufficient" if attempt.problems else "ok"
    return visible(f"{failure.kind} {failure.status}" if failure.status else failure.kind, 40)


def barrier(why: str) -> str:
    """What stood in a model's way, in a few words."""
    why = why[:TEXT_CHARACTERS]
    found = ((pattern.search(why), short) for pattern, short in BARRIERS)
    return next((match.expand(short) for match, short in found if match is not None), why)


STAYS = "the session is on it"
LIKELY = {
    "cheapest that is": "cheapest sufficient: ",
    "no cheaper model is": "needed: ",
    "best value of the": "best value: ",
}
SUFFICIENT = re.compile(rf"^({'|'.join(LIKELY)}) sufficient: (.*?) ±.*")


def decided(trace: Trace, why: str) -> str:
    """Why the first model was first, without the figures that the story has."""
    named = [f"{what} {one!r}" for what, one in (("route", trace.route), ("rule", trace.rule)) if one]
    rule = f"{', '.join(named)}: " if named else ""
    if why.startswith("observe mode"):
        away = re.search(r", but the reference (.+?) cannot be asked: (.+?)(?:;|$)", why[:TEXT_CHARACTERS])
        observed = "the reference answers" if away is None else f"{away[1]} cannot be asked: {barrier(away[2])}"
        return f"{rule}observe mode: {observed}"
    if blocked := ahead(why):
        return rule + "; ".join(f"instead of {name(model)}: {barrier(trouble)}" for model, trouble in blocked.items())
    if "no circuit is due sooner" in why:
        return f"{rule}every circuit is open, this one is due first"
    reason = re.split(r", which | \(|; |, \d+% are needed", why, maxsplit=1)[0]
    if reason.startswith(STAYS):
        return f"{rule}stays: a switch saves too little"
    reason = reason.replace(", checks and escalation included", "").replace(" that is at hand", "")
    reason = SUFFICIENT.sub(lambda match: LIKELY[match[1]] + match[2], reason)
    return rule + re.sub(r"\b(tier \w+) or above$", r"\1+", reason)


def ahead(why: str) -> Mapping[str, str]:
    """Who would have been asked first, and what stood in the way, at length.

    Args:
        why: Why its first model was first.
    """
    return dict(part.split(FIRST_BUT, 1) for part in why.split("; ") if FIRST_BUT in part)


def distinct(clauses: Iterable[str]) -> Sequence[str]:
    """Clauses in order, each once with how often it was said."""
    return [f"{clause}{times(n)}" for clause, n in Counter(clauses).items()]


def because(trace: Trace) -> str:
    """Why the model that answered stood where it stood, at length; empty where that is not known."""
    reason = next((c.reason for c in trace.candidates if c.model == trace.model), trace.reason)
    return visible(reason)


def not_asked(passed: PassedRecord) -> str:
    """A model that could not be asked, as a clause."""
    return f"{name(passed.model)} could not be asked ({visible(barrier(passed.why), 160)})"
