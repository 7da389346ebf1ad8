"""What a user asks of the answer cache."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from ..errors import ConfigError
from ..step.step import StepKind
from .langcache import LangCacheService

HOUR, DAY = 3_600.0, 86_400.0

USUAL_TTL_SECONDS = DAY

KIND_TTL_SECONDS: Mapping[StepKind, float] = {
    StepKind.EXTRACT: 7 * DAY,
    StepKind.CLASSIFY: 7 * DAY,
    StepKind.READ_RESULT: HOUR,
}
"""How long answers are kept: of what only looks at its input for a week, of what rests on results of tools an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCache:
    """What may be answered again without a call, and how sure that must be.

    Attributes:
        max_error: Share of answers found by meaning that may be wrong, above 0 and below 0.5. An answer is given only
            where the share is below it with `confidence`; until enough is known, nothing is found by meaning.
        confidence: Of that, from 0.5 to below 1.
        exact: Whether the same question, to the letter and in the same situation, is answered again.
        semantic: Whether questions that mean the same are, too.
        nodes: The nodes of the graph whose questions are compared by meaning; None compares at all nodes.
        read_only: Names of the tools that only read. Where others may be called, or were called since the user last
            spoke, nothing is given again.
        max_temperature: The temperature up to which a step counts as deterministic. A step that sets none has that of
            the models; where one of them states none it is the provider's, mostly 1, and nothing is given again. None
            lets every temperature pass, for models too that take none.
        ttl_seconds: How long answers are kept: for all kinds of step, or by kind. Kinds that are not named keep theirs:
            a week where only the input is looked at, an hour where results of tools are read, a day for the rest.
        check: Who is asked whether a stored answer would have done, where it was not sure enough to be given and only a
            judge can tell: the name of a model, or `cheapest`. It is asked in the background, and sees both questions
            and the answer. None asks nobody.
        audit_share: Share of the answers given by meaning for which the reference is asked too, in the background, so
            that what is known stays true.
        personal: Whether each user has a cache of their own: `auto` where a run names a user, `always` also gives runs
            without one nothing, `never` shares answers among the users of a tenant.
        langcache: A managed service that finds questions by meaning in place of the store's own search.

    Raises:
        ConfigError: A value is out of its range.
    """

    max_error: float = 0.01
    confidence: float = 0.95
    exact: bool = True
    semantic: bool = True
    nodes: Collection[str] | None = None
    read_only: Collection[str] = frozenset()
    max_temperature: float | None = 0.3
    ttl_seconds: float | Mapping[StepKind, float] = field(default_factory=dict)
    check: str | None = None
    audit_share: float = 0.02
    personal: str = "auto"
    langcache: LangCacheService | None = None

    def __post_init__(self) -> None:
        within("max_error", self.max_error, lambda x: 0 < x < 0.5, "above 0 and below 0.5; semantic=False allows none")
        within("confidence", self.confidence, lambda x: 0.5 <= x < 1, "from 0.5 to below 1")
        within("audit_share", self.audit_share, lambda x: 0 <= x <= 1, "from 0 to 1")
        if self.max_temperature is not None:
            within("max_temperature", self.max_temperature, lambda x: 0 <= x < inf, "0 or more, or None for any")
        object.__setattr__(self, "nodes", None if self.nodes is None else names("nodes", self.nodes))
        object.__setattr__(self, "read_only", names("read_only", self.read_only))
        object.__setattr__(self, "ttl_seconds", read_ttl(self.ttl_seconds))
        if self.check == "":
            raise ConfigError("check must be the name of a model, 'cheapest' or None, got ''")
        if self.personal not in ("auto", "always", "never"):
            raise ConfigError(f"personal must be 'auto', 'always' or 'never', got {self.personal!r}")
        if not self.exact and not self.semantic:
            raise ConfigError("an AnswerCache must compare exactly or by meaning, got neither; leave answer_cache out")
        if self.langcache is not None and not self.semantic:
            raise ConfigError("langcache finds answers by meaning, and semantic is off; leave one of them out")

    def ttl_for(self, kind: StepKind) -> float:
        """How long the answer to a step of a kind is kept, in seconds."""
        given = self.ttl_seconds
        if isinstance(given, Mapping):
            return given.get(kind) or KIND_TTL_SECONDS.get(kind, USUAL_TTL_SECONDS)
        return given

    def compares_at(self, node: str | None) -> bool:
        """Whether questions at a node are compared by meaning."""
        return self.semantic and (self.nodes is None or node in self.nodes)


def within(name: str, value: object, is_right: Callable[[float], bool], rule: str) -> None:
    """Raise where a value is no number or out of its range.

    Raises:
        ConfigError: It is.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_right(value):
        raise ConfigError(f"{name} of an AnswerCache must be {rule}, got {value!r}")


RULE_OF_NAMES = "nodes and read_only of an AnswerCache must be lists of names"


def names(name: str, given: Collection[str]) -> frozenset[str]:
    """A collection of names.

    Raises:
        ConfigError: It is one text, or none of names.
    """
    if isinstance(given, str):
        raise ConfigError(f"{RULE_OF_NAMES}, got {given!r} as {name}; write [{given!r}]")
    value: object = given
    found: list[object] = list(value) if isinstance(value, Iterable) else [value]
    if wrong := [one for one in found if not isinstance(one, str)]:
        raise ConfigError(f"{RULE_OF_NAMES}, got {wrong[0]!r} in {name}")
    return frozenset(given)


def read_ttl(given: float | Mapping[StepKind, float]) -> float | Mapping[StepKind, float]:
    """The time to live, for all kinds or by kind.

    Raises:
        ConfigError: A kind is none, or a time is not above 0.
    """
    for seconds in given.values() if isinstance(given, Mapping) else (given,):
        within("ttl_seconds", seconds, lambda x: 0 < x < inf, "above 0, in seconds")
    if not isinstance(given, Mapping):
        return float(given)
    for kind in given:
        if kind not in tuple(StepKind):
            raise ConfigError(f"ttl_seconds must name kinds of step, got {kind!r}; known are {[*map(str, StepKind)]}")
    return {StepKind(kind): float(seconds) for kind, seconds in given.items()}
