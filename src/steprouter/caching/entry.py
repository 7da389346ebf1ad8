"""An answer that is kept to be given again, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..answering.answer import Answer
from ..models.cost import Usage
from .facets import Facets


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often an answer was right for a question that was like its own, and how often wrong; weights, not counts."""

    right: float = 0.0
    wrong: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An answer as it is kept.

    Attributes:
        id: Names it within its tenant: the digest of the exact scope, which is of the whole question.
        scope: The digest of all but the last human text; empty where meaning is not compared.
        text: The last human text, by which it is found by meaning; empty where meaning is not compared.
        facets: What that text says; None where meaning is not compared.
        answer: What is given: text, calls, finish; no details of a provider that name a call or a key.
        usage: What the answer had cost in tokens; saved, not spent, when it is given again.
        usd: What it had cost; None where no price is known.
        seconds: How long it had taken.
        model: Who gave it, by the router's name.
        kind: Of step.
        node: Of the graph.
        step_id: The step that paid for it.
        tags: The user's own, by which it can be removed.
        created_at: Unix seconds.
        expires_at: Unix seconds; from then on it is not there.
        epoch: Of the tenant's cache when it was written; those of an earlier one are not there.
    """

    id: str
    scope: str = ""
    text: str = field(default="", repr=False)
    facets: Facets | None = field(default=None, repr=False)
    answer: Answer = field(repr=False)
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    seconds: float = 0.0
    model: str
    kind: str
    node: str | None = None
    step_id: str
    tags: frozenset[str] = frozenset()
    created_at: float
    expires_at: float
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """An entry of the step's scope whose question is like the one that is asked.

    Attributes:
        entry: It.
        similarity: Cosine of the two questions' vectors, or the figure of who found it.
        scale: Who found it, where that is a service with a measure of its own.
        tally: What is known of this very entry, from checks, audits and feedback.
    """

    entry: Entry
    similarity: float
    scale: str = ""
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """The cache as a recall brings it: the value of the section `cache`.

    Attributes:
        exact: The answer to this very question.
        near: Answers to questions of the same scope, the likest first.
        pools: What is known of all entries of the tenant, by the name of a pool (`bound.pool_of`).
        epoch: The tenant's; what is written now carries it.
        filled_by: Who is getting the answer to this very question now; None where nobody is, or it is this step.
    """

    exact: Entry | None = None
    near: tuple[Near, ...] = ()
    pools: dict[str, Tally] = field(default_factory=dict)
    epoch: int = 0
    filled_by: str | None = None
