"""The fields a configuration file may have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from ..caching.langcache import SEARCH_SECONDS
from ..models.card import PrefillStyle, Tier
from ..routing.routes import ROUTE_MARGIN, THRESHOLD, Aggregation
from ..routing.sufficiency import QUALITY_LOSS
from ..step.step import StepKind
from .complaints import Fields
from .place import StoreFields


def one_or_more(given: object) -> object:
    """A text as a list of one, so that both can be written."""
    return [given] if isinstance(given, str) else given


Words = Annotated[tuple[str, ...], BeforeValidator(one_or_more)]


class PriceFields(Fields):
    """A `Price`."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    dated: date | None = None
    source: str = "user"


class AbilityFields(Fields):
    """`Abilities`; what is left out is unknown."""

    tools: bool | None = None
    parallel_tools: bool | None = None
    tool_choice: bool | None = None
    json_schema: bool | None = None
    images: bool | None = None
    audio: bool | None = None
    files: bool | None = None
    reasoning: bool | None = None
    prefill: bool | None = None
    prefill_with_tools: bool | None = None


class LimitFields(Fields):
    """`Limits`."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class ModelFields(Fields):
    """A `ModelCard`."""

    name: str
    model: str
    base_url: str | None = None
    api_key: SecretStr | None = None
    api: Literal["chat_completions", "responses"] = "chat_completions"
    tier: Tier | None = None
    price: PriceFields | None = None
    window_tokens: int | None = None
    max_output_tokens: int | None = None
    abilities: AbilityFields = AbilityFields()
    tools: Literal["native", "json_schema", "prompt"] = "native"
    prefill_style: PrefillStyle | None = None
    region: str | None = None
    tags: Words = ()
    deployment_of: str | None = None
    weight: float = 1.0
    limits: LimitFields | None = None
    efforts: Annotated[Any, BeforeValidator(one_or_more)] = ()
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)


class RuleFields(Fields):
    """A `Rule`; conditions take one word or a list."""

    name: str
    kind: Words = ()
    node: Words = ()
    tag: Words = ()
    tenant: Words = ()
    user: Words = ()
    header: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    keyword: Words = ()
    regex: Words = ()
    pii: Any = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    tools: Words = ()
    models: Words = ()
    tier: Tier | None = None
    max_tier: Tier | None = None
    regions: Words = ()
    local_only: bool = False
    quality_loss: float | None = None


class ContentFilterFields(Fields):
    """A `ContentFilter`."""

    reaction: Literal["raise", "redact_and_retry", "reroute", "fallback_message"] = "raise"
    models: Words = ()
    message: str | None = None


class ResumptionFields(Fields):
    """A `Resumption`."""

    resumes: int = 2
    hops: int = 1
    instruction: bool = False
    journal: bool = True
    keep_when_left: bool = False


class RouteFields(Fields):
    """A `Route`."""

    name: str
    examples: tuple[str, ...] = ()
    threshold: float = THRESHOLD
    aggregation: Aggregation = "max"
    kind: StepKind | None = None
    models: Words = ()
    tier: Tier | None = None
    quality_loss: float | None = None


class TieBreakFields(Fields):
    """A `TieBreak`; `tie_break: {}` takes what it takes by itself."""

    seconds: float = 2.0
    usd: float = 0.001
    below: float = 0.1
    between: float = 0.03
    models: Words = ()


class ProbeFields(Fields):
    """`Probes`; a judge is handed over in Python."""

    share: float = 0.05
    usd: float = 0.01
    models: Words = ()


class PolicyFields(Fields):
    """A `Policy`."""

    rules: tuple[RuleFields, ...] = ()
    kinds: dict[StepKind, Tier] = Field(default_factory=dict)
    nodes: dict[str, StepKind | None] = Field(default_factory=dict)
    quality_loss: float = QUALITY_LOSS
    quality_losses: dict[StepKind, float] = Field(default_factory=dict)
    value_of_failure_usd: float | None = None
    session_overrun: float | None = None
    critical: tuple[StepKind, ...] = ()
    reference: str | None = None
    mode: Literal["route", "observe"] = "route"
    max_attempts: int = 4
    escalate: bool = True
    stream_structured: bool = False
    content_filter: ContentFilterFields = ContentFilterFields()
    deadline_seconds: float | None = None
    patience_seconds: float = 20.0
    hedge: bool = False
    prompt_caching: bool = True
    resume: ResumptionFields = ResumptionFields()
    predictor: str | None = None
    routes: tuple[RouteFields, ...] = ()
    route_margin: float = ROUTE_MARGIN
    routes_in: str | None = None
    tie_break: TieBreakFields | None = None
    probes: ProbeFields | None = None


class BudgetFields(Fields):
    """A `Budget`."""

    usd: float | None = None
    tokens: int | None = None
    per: Literal["step", "thread", "user", "tenant", "all"] = "tenant"
    period: Literal["hour", "day", "week", "month"] | None = None
    name: str | None = None
    cheaper_at: float = 0.8
    fallback: str | None = None
    on_store_loss: Literal["stop", "continue"] = "stop"


class LessonFields(Fields):
    """`Lessons`."""

    tokens: int = 400
    kinds: tuple[StepKind, ...] = ()
    per_kind: int = 500
    holdout: float = 0.2
    similarity: float = 0.75
    per_user: bool = True
    models: Words = ()


class LangCacheFields(Fields):
    """A `LangCacheService`."""

    server_url: str
    cache_id: str
    api_key: SecretStr
    timeout_seconds: float = SEARCH_SECONDS


class AnswerCacheFields(Fields):
    """An `AnswerCache`."""

    max_error: float | None = None
    confidence: float | None = None
    exact: bool | None = None
    semantic: bool | None = None
    nodes: Words | None = None
    read_only: Words = ()
    max_temperature: float | None = None
    ttl_seconds: float | dict[str, float] | None = None
    check: str | None = None
    audit_share: float | None = None
    personal: str | None = None
    langcache: LangCacheFields | None = None


class MemoryFields(Fields):
    """A `MemoryPolicy`; other embedders than these two are handed over in Python."""

    on: bool = True
    embedder: Literal["static", "onnx"] = "static"
    lessons: LessonFields | None = None
    journal_key: SecretStr | None = None


class AnswersFields(Fields):
    """What removing cached answers needs."""

    answer_cache: AnswerCacheFields | bool | None = None


class FileFields(StoreFields):
    """The whole file."""

    models: tuple[ModelFields, ...] = Field(min_length=1)
    policy: PolicyFields = PolicyFields()
    budget: tuple[BudgetFields, ...] = ()
    answer_cache: AnswerCacheFields | bool | None = None
    tracing: bool = True
    memory: MemoryFields = MemoryFields()


FIELDS_AT: Mapping[tuple[str, ...], type[Fields]] = {
    (): FileFields,
    ("models",): ModelFields,
    ("models", "price"): PriceFields,
    ("models", "abilities"): AbilityFields,
    ("models", "limits"): LimitFields,
    ("policy",): PolicyFields,
    ("policy", "content_filter"): ContentFilterFields,
    ("policy", "resume"): ResumptionFields,
    ("policy", "probes"): ProbeFields,
    ("budget",): BudgetFields,
    ("answer_cache",): AnswerCacheFields,
    ("answer_cache", "langcache"): LangCacheFields,
    ("policy", "rules"): RuleFields,
    ("policy", "routes"): RouteFields,
    ("policy", "tie_break"): TieBreakFields,
    ("memory",): MemoryFields,
    ("memory", "lessons"): LessonFields,
}
"""The fields at each place of the file, positions in lists left out."""
