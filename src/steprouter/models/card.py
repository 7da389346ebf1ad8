"""Who can answer: a model as the router sees it, with its price, window and abilities."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import date
from enum import StrEnum
from typing import Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from ..errors import ConfigError
from .effort import Effort, Efforts, candidate_name, checked
from .limits import Limits

RANKS = {"low": 0, "mid": 1, "mid_high": 2, "high": 3}


class Tier(StrEnum):
    """How strong a model is, roughly; the prior where nothing has been observed yet.

    Attributes:
        rank: Position from weakest (0) to strongest (3).
    """

    rank: int

    LOW = "low"
    MID = "mid"
    MID_HIGH = "mid_high"
    HIGH = "high"

    def __init__(self, value: str) -> None:
        self.rank = RANKS[value]


def lowered(tier: Tier) -> Tier:
    """The next weaker tier; the weakest stays."""
    return list(Tier)[max(0, tier.rank - 1)]


PrefillStyle = Literal["assistant", "prefix", "partial", "continue_final_message"]
"""How a server is told to go on from a partial turn, which stands last in the conversation: by nothing else than
that; by `prefix` or `partial` on it; or by a field of that name beside the messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in USD per million tokens, on a day, according to a source.

    Attributes:
        input: Prompt tokens that no prompt cache served.
        output: Completion tokens, reasoning included.
        cache_read: Prompt tokens served by the provider's prompt cache; None means unknown and is
            charged as `input`, so that an unknown discount never makes a model look cheap.
        cache_write: Prompt tokens written into the prompt cache; None means no write fee is known.
        dated: The day the figures were true.
        source: Where they come from.
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    dated: date | None = None
    source: str = "user"

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_write"):
            usd = getattr(self, name)
            if usd is not None and not 0 <= usd < 1e6:
                raise ConfigError(
                    f"price {name} must be USD per million tokens, 0 or more, got {usd!r}; "
                    "a price per single token must be multiplied by 1e6"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a model can take and give; None is unknown and is never read as no.

    Attributes:
        tools: Calls tools.
        parallel_tools: Calls several tools in one answer.
        tool_choice: Can be forced to call a tool.
        json_schema: Keeps to a JSON schema given as response format.
        images: Reads images.
        audio: Reads audio.
        files: Reads documents such as PDF.
        reasoning: Thinks before it answers.
        prefill: Goes on from a partial assistant turn; only ever used where it is declared.
        prefill_with_tools: Still calls tools when it goes on so; elsewhere it goes on in prose.
    """

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

    def over(self, other: Abilities) -> Abilities:
        """These abilities, with what is unknown here taken from `other`."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(other, **known)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model that may answer steps.

    Exactly one of these says how it is reached: a LangChain chat model object in `model`, a LangChain
    model string in `model` (`"openai:gpt-5.6-luna"`), or `base_url` with the server's model name in `model`.
    What is left out is looked up in the catalogue by the model's name.

    Attributes:
        name: What traces, rules and overrides call it; unique in a router.
        model: A chat model object, a LangChain model string, or the name a server at `base_url` knows.
        base_url: Root of an OpenAI-compatible API, such as `http://127.0.0.1:8080/v1`.
        api_key: Key for `base_url`, as text or `SecretStr`; None sends none. Never shown.
        api: What the server at `base_url` is spoken to in: OpenAI's `chat_completions`, which nearly all know, or its
            `responses`, where its models keep their thoughts between the steps of an agent.
        tier: Strength; None is looked up, and `mid` where the catalogue does not know it.
        price: None is looked up; where the catalogue does not know it either the price stays unknown.
        window_tokens: Tokens that prompt and answer share; None is looked up.
        max_output_tokens: Longest answer; None is looked up.
        abilities: What is stated here wins over the catalogue.
        tools: How a server at `base_url` is told of tools: `native` as the API has it; `json_schema` for servers
            that keep to a schema but do not parse tool calls; `prompt` for those that do neither.
        prefill_style: How a partial turn is sent: `assistant` as any other, for llama.cpp, Ollama and OpenRouter;
            `continue_final_message` for vLLM and SGLang; `prefix` (Mistral, DeepSeek) and `partial` (DashScope,
            Moonshot) as those APIs have it. None goes by the host, `assistant` where it is unknown. Whoever states
            one states `Abilities(prefill=True)` with it.
        region: Where it runs, for rules on data.
        tags: Free words that rules may name.
        headers: Extra HTTP headers for `base_url`.
        deployment_of: Name of another card: this is the same model at another place. Cards of one model that cost
            the same share its calls, the quickest and least busy first.
        weight: How much of them this place takes, against 1 of another; more than 0.
        limits: How many requests, tokens and calls at once it may have, shared by all processes.
        efforts: How hard it may think: names of levels (`("low", "high")`), or what to send for each name
            (`{"off": {}, "on": {"thinking": {…}}}`), the least first. Each makes a candidate of its own, such as
            `large@low`; `default` sends nothing. Empty makes one candidate that thinks as it does untold.
        effort: Which of them a candidate is; the router's own, in the cards it makes of one with `efforts`.
        settings: Extra request fields for `base_url` (`temperature`, `seed`, …), or constructor arguments
            for a LangChain model string.
    """

    name: str
    model: str | BaseChatModel
    base_url: str | None = None
    api_key: SecretStr | None = None
    api: Literal["chat_completions", "responses"] = "chat_completions"
    tier: Tier | None = None
    price: Price | None = None
    window_tokens: int | None = None
    max_output_tokens: int | None = None
    abilities: Abilities = field(default_factory=Abilities)
    tools: Literal["native", "json_schema", "prompt"] = "native"
    prefill_style: PrefillStyle | None = None
    region: str | None = None
    tags: frozenset[str] = frozenset()
    headers: dict[str, SecretStr] = field(default_factory=dict, repr=False)
    deployment_of: str | None = None
    weight: float = 1.0
    limits: Limits | None = None
    efforts: Efforts = ()
    effort: Effort | None = None
    settings: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise ConfigError(f"a model's name must be printable and not empty, got {self.name!r}")
        if self.base_url is not None and not isinstance(self.model, str):
            raise ConfigError(
                f"model {self.name!r} has base_url and a chat model object; give the object, "
                "or base_url with the model's name as text"
            )
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"base_url of {self.name!r} must begin with http:// or https://, got {self.base_url!r}")
        if isinstance(self.model, str) and not self.model:
            raise ConfigError(f"model of {self.name!r} must not be empty")
        for name in ("window_tokens", "max_output_tokens"):
            tokens = getattr(self, name)
            if tokens is not None and tokens <= 0:
                raise ConfigError(f"{name} of {self.name!r} must be more than 0, got {tokens!r}")
        if self.tools not in ("native", "json_schema", "prompt"):
            raise ConfigError(f"tools of {self.name!r} must be native, json_schema or prompt, got {self.tools!r}")
        self.check_api()
        self.check_prefill()
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ConfigError(
                f"limits of {self.name!r} must be a Limits, got {self.limits!r}; write Limits(requests_per_minute=…)"
            )
        if not 0 < self.weight < float("inf"):
            raise ConfigError(f"weight of {self.name!r} must be more than 0, got {self.weight!r}")
        if self.deployment_of == self.name:
            raise ConfigError(f"deployment_of of {self.name!r} must name another card, got its own name")
        object.__setattr__(self, "efforts", checked(self.name, self.efforts))
        if self.effort is not None and not isinstance(self.effort, Effort):
            raise ConfigError(f"effort of {self.name!r} must be left out, got {self.effort!r}; write efforts=(…,)")
        object.__setattr__(self, "tags", frozenset(self.tags))
        if isinstance(self.api_key, str):
            object.__setattr__(self, "api_key", SecretStr(self.api_key))
        secret = {name: SecretStr(v) if isinstance(v, str) else v for name, v in self.headers.items()}
        object.__setattr__(self, "headers", secret)
        if self.tier is not None:
            object.__setattr__(self, "tier", Tier(self.tier))

    @property
    def deployment(self) -> str:
        """What the candidates of one model at one place share: its connection, health and limits."""
        return self.name if self.effort is None else self.effort.base

    @property
    def names(self) -> tuple[str, ...]:
        """What rules and overrides may call it: its name, and those of the candidates that its efforts make."""
        return (self.name, *(candidate_name(self.name, effort) for effort in self.efforts))

    def check_api(self) -> None:
        """Refuse an API that is unknown, or that nothing could be asked in.

        Raises:
            ConfigError: `api` is no known API, or `responses` without `base_url` or with emulated tools.
        """
        if self.api not in ("chat_completions", "responses"):
            raise ConfigError(f"api of {self.name!r} must be chat_completions or responses, got {self.api!r}")
        if self.api == "responses" and self.base_url is None:
            raise ConfigError(
                f"model {self.name!r} must have base_url for api='responses', got none; give "
                "base_url='https://api.openai.com/v1', or use_responses_api=True to the chat model itself"
            )
        if self.api == "responses" and self.tools != "native":
            raise ConfigError(
                f"tools of {self.name!r} must be native with api='responses', got {self.tools!r}; "
                "leave tools out, or take api='chat_completions'"
            )

    def check_prefill(self) -> None:
        """Refuse what is said of partial turns where it cannot hold.

        Raises:
            ConfigError: The style is unknown, or it or an ability contradicts what else is stated.
        """
        if self.prefill_style not in (None, *get_args(PrefillStyle)):
            styles = " or ".join((", ".join(get_args(PrefillStyle)[:-1]), get_args(PrefillStyle)[-1]))
            raise ConfigError(f"prefill_style of {self.name!r} must be {styles}, got {self.prefill_style!r}")
        if self.prefill_style is not None and self.abilities.prefill is False:
            raise ConfigError(
                f"prefill_style of {self.name!r} must be left out with Abilities(prefill=False), "
                f"got {self.prefill_style!r}"
            )
        if self.prefill_style is not None and self.api == "responses":
            raise ConfigError(
                f"prefill_style of {self.name!r} must be left out with api='responses', where the last turn is always "
                f"finished, got {self.prefill_style!r}; leave it out, or take api='chat_completions'"
            )
        if self.tools != "native" and self.abilities.prefill_with_tools:
            raise ConfigError(
                f"model {self.name!r} must not state prefill_with_tools with tools={self.tools!r}, where an answer "
                "begins with its form; leave it out, or take tools='native'"
            )
