"""What is known about a model by its name: price, window, abilities and tier, from a dated table.

The table, `catalogue.json`, is made by `scripts/make_catalogue.py`; `docs/catalogue.md` names its sources. A
name is matched whole, after the changes of spelling that `spellings` lists, and never by a shared beginning.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from .card import Abilities, ModelCard, Price, Tier

# LangChain's and other common names of a provider, and the one the table uses. Azure and Vertex sell at the
# vendor's list price outside regional deployments.
PROVIDERS: Mapping[str, str] = {
    **dict.fromkeys(("anthropic", "anthropic_vertex", "google_anthropic_vertex"), "anthropic"),
    **dict.fromkeys(("aws", "bedrock", "bedrock_converse", "amazon_bedrock"), "bedrock"),
    **dict.fromkeys(("deepseek",), "deepseek"),
    **dict.fromkeys(("gemini", "google", "google_genai", "google_vertexai", "vertex_ai"), "google_genai"),
    **dict.fromkeys(("groq",), "groq"),
    **dict.fromkeys(("meta",), "meta"),
    **dict.fromkeys(("minimax",), "minimax"),
    **dict.fromkeys(("mistral", "mistralai"), "mistralai"),
    **dict.fromkeys(("moonshot", "moonshotai"), "moonshotai"),
    **dict.fromkeys(("azure", "azure_openai", "openai"), "openai"),
    **dict.fromkeys(("openrouter",), "openrouter"),
    **dict.fromkeys(("together", "together_ai", "togetherai"), "together"),
    **dict.fromkeys(("x-ai", "xai"), "xai"),
    **dict.fromkeys(("z-ai", "zai"), "zai"),
}

# They sell other people's models: an open model's name says nothing of its price until the seller is known.
SELLERS = frozenset({"groq", "openrouter", "together"})
# Their models run nowhere else at another price, so a name is enough behind a gateway or a reseller.
CLOSED = frozenset({"anthropic", "google_genai", "openai", "xai"})

API_HOSTS: Mapping[str, str] = {
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistralai",
    "api.minimax.io": "minimax",
    "api.moonshot.ai": "moonshotai",
    "api.openai.com": "openai",
    "api.together.xyz": "together",
    "api.x.ai": "xai",
    "api.z.ai": "zai",
    "generativelanguage.googleapis.com": "google_genai",
    "openrouter.ai": "openrouter",
}

# genai-prices' own provider names, where they are not ours.
GENAI_PRICES: Mapping[str, str] = {
    "bedrock": "aws",
    "google_genai": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
}

GOOGLE_PATH = re.compile(r"^(?:publishers/[a-z]+/)?models/")
BEDROCK_GLOBAL = re.compile(r"^global\.([a-z]+)\.(.+?)(?:-v\d+(?::\d+)?)?$")
# A whole date only: the four digits of `mistral-large-2512` are part of the model's name.
DATED = re.compile(r"[-@](?:20\d{6}|20\d{2}-\d{2}-\d{2}|latest|default)$")

# Tier by USD per million output tokens: the last limit not above the price. A prior, used where the table's
# maker knew no better; the limits part the vendors' own small, middle and large models of 2026-11.
BANDS = ((0.0, Tier.LOW), (2.0, Tier.MID), (8.0, Tier.MID_HIGH), (18.0, Tier.HIGH))


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """What the catalogue states about one model at one provider; None is unknown.

    Attributes:
        id: The provider's name of the model.
        provider: Who sells it, by LangChain's name of the provider.
        tier: Strength, guessed from price.
        price: For prompts of any length, unless `long_prompts` says otherwise.
        window_tokens: Tokens that prompt and answer share.
        max_output_tokens: Longest answer.
        abilities: What it takes and gives.
        long_prompts: From how many prompt tokens on another price holds for the whole call, ascending.
        efforts: The levels of thought it takes, the least first; empty is unknown.
        usual_effort: The level at which it thinks untold.
    """

    id: str
    provider: str
    tier: Tier
    price: Price
    window_tokens: int | None = None
    max_output_tokens: int | None = None
    abilities: Abilities = field(default_factory=Abilities)
    long_prompts: tuple[tuple[int, Price], ...] = ()
    efforts: tuple[str, ...] = ()
    usual_effort: str | None = None

    def price_for(self, prompt_tokens: int) -> Price:
        """The price of a call with a prompt of that length."""
        reached = [price for above, price in self.long_prompts if prompt_tokens > above]
        return reached[-1] if reached else self.price


def entries() -> tuple[CatalogueEntry, ...]:
    """Every model of the table, by provider and name."""
    return tuple(entry for entry, _ in table())


def lookup(model: str, provider: str | None = None) -> CatalogueEntry | None:
    """What the table states about `model`, or None.

    Takes `"anthropic:claude-opus-5-5"`, a bare name, a dated one (`"claude-haiku-4-5-20251001"`), one ending
    in `-latest`, `"models/gemini-2.5-pro"` and `"anthropic/claude-opus-5.5"`. A model sold by others than its
    maker is found only with the seller named (`"groq:llama-3.3-70b-versatile"`); a seller the table does not
    know finds nothing, even where it knows the model, since the price would be another's.
    """
    known = index()
    for seller, name in readings(model, provider):
        for spelling in spellings(name):
            if found := known.get((seller, spelling)):
                return found
    return None


def for_card(card: ModelCard) -> CatalogueEntry | None:
    """What the table states about the model a card reaches, or None.

    Behind a `base_url` that belongs to no known provider only closed models are recognised: whoever serves
    an open model sets the price. Chat model objects are recognised by their LangChain package.
    """
    name, url, provider = card.model, card.base_url, None
    if not isinstance(name, str):
        package = type(name).__module__.partition(".")[0]
        provider = PROVIDERS.get(package.removeprefix("langchain_"))
        url = first_text(name, "openai_api_base", "base_url")
        name = first_text(name, "model_name", "model") or ""
        if provider is None:
            return None
    if url is None:
        return lookup(name, provider)
    host = API_HOSTS.get(urlsplit(url).hostname or "")
    if host is not None:
        return lookup(name, host)
    found = lookup(name)
    return at_a_gateway(found) if found is not None and found.provider in CLOSED else None


def at_a_gateway(entry: CatalogueEntry) -> CatalogueEntry:
    """What holds of a model behind a server that is not its maker's: a partial turn may be changed on the way."""
    if not entry.abilities.prefill:
        return entry
    return replace(entry, abilities=replace(entry.abilities, prefill=None))


def complete(card: ModelCard, entry: CatalogueEntry | None) -> ModelCard:
    """The card with what it leaves open taken from `entry`, and tier `mid` where nobody knows."""
    if entry is None:
        return replace(card, tier=card.tier or Tier.MID)
    return replace(
        card,
        tier=card.tier or entry.tier,
        price=card.price or entry.price,
        window_tokens=card.window_tokens or entry.window_tokens,
        max_output_tokens=card.max_output_tokens or entry.max_output_tokens,
        abilities=card.abilities.over(entry.abilities),
    )


def from_genai_prices(model: str, provider: str | None = None, *, day: date | None = None) -> CatalogueEntry | None:
    """What the optional package genai-prices states about `model` on `day`, or None.

    Price and window only; no abilities. None too when the package is not installed or states no token price.
    Without a `day` that of the table counts. The package matches names more loosely than `lookup`, which
    should be asked first. Its first import takes a second or two.
    """
    try:
        prices = importlib.import_module("genai_prices")
    except ModuleNotFoundError:
        return None
    on = day or made_on()
    # Noon UTC is no provider's peak hour, as for the table.
    noon = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    prefix, _, rest = model.partition(":")
    # The package knows more sellers than the table does.
    ways = [*readings(model, provider), (provider or prefix, model if provider else rest)]
    for seller, name in ways:
        try:
            found = prices.calc_price(
                prices.Usage(),
                name,
                provider_id=None if seller is None else GENAI_PRICES.get(seller, seller),
                genai_request_timestamp=noon,
            )
        except LookupError:
            continue
        return genai_entry(found, on, f"genai-prices {prices.__version__}")
    return None


def genai_entry(found: Any, day: date, source: str) -> CatalogueEntry | None:
    """A genai-prices calculation as an entry; None where it has no token price."""
    usd: dict[str, float] = {}
    for name in ("input", "output", "cache_read", "cache_write"):
        price = getattr(found.model_price, f"{name}_mtok", None)
        if price is not None:
            usd[name] = float(getattr(price, "base", price))
    if "input" not in usd or "output" not in usd:
        return None
    ours = {theirs: mine for mine, theirs in GENAI_PRICES.items()}
    return CatalogueEntry(
        id=found.model.id,
        provider=ours.get(found.provider.id, found.provider.id),
        tier=tier_by_price(usd["output"]),
        price=priced(usd, day, source),
        window_tokens=found.model.context_window,
    )


def tier_by_price(output_usd: float) -> Tier:
    """The tier that USD per million output tokens suggest."""
    return [tier for limit, tier in BANDS if limit <= output_usd][-1]


def readings(model: str, provider: str | None) -> Iterator[tuple[str | None, str]]:
    """The ways to read `model` as a seller and a name; none when the seller is unknown or contradictory."""
    prefix, colon, rest = model.strip().lower().partition(":")
    named = PROVIDERS.get(prefix) if colon else None
    name = rest if named else model.strip().lower()
    seller = named
    if provider is not None:
        seller = PROVIDERS.get(provider.strip().lower())
        if seller is None or named not in (None, seller):
            return
    yield seller, name
    if seller in (None, "google_genai") and (path := GOOGLE_PATH.match(name)):
        yield "google_genai", name[path.end() :]
    vendor, rest = maker(name)
    resold = seller in ("bedrock", "openrouter") and vendor in CLOSED
    if vendor is not None and (seller in (None, vendor) or resold):
        yield vendor, rest


def maker(name: str) -> tuple[str | None, str]:
    """The maker that a reseller's name begins with, and the maker's own name of the model."""
    # Bedrock sells closed models at list price under global names; regional ones and open models cost more.
    if bedrock := BEDROCK_GLOBAL.match(name):
        return (bedrock[1] if bedrock[1] in CLOSED else None), bedrock[2]
    vendor, _, rest = name.partition("/")
    return PROVIDERS.get(vendor), rest


def spellings(name: str) -> Iterator[str]:
    """How the table may spell `name`: dots as dashes, then without a date or `latest` at its end."""
    spelling = name.replace(".", "-")
    yield spelling
    if dated := DATED.search(spelling):
        yield spelling[: dated.start()]


def first_text(holder: object, *names: str) -> str | None:
    """The first of these attributes that holds text."""
    values = (getattr(holder, name, None) for name in names)
    return next((value for value in values if isinstance(value, str) and value), None)


@cache
def document() -> dict[str, Any]:
    """The table as it is shipped."""
    text = files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def made_on() -> date:
    """The day the table was made, and whose prices it holds."""
    return date.fromisoformat(document()["about"]["date"])


@cache
def table() -> tuple[tuple[CatalogueEntry, tuple[str, ...]], ...]:
    """Every entry with its further names."""
    return tuple((read_entry(row), tuple(row.get("aliases", ()))) for row in document()["models"])


def read_entry(row: Mapping[str, Any]) -> CatalogueEntry:
    """One row of the table."""
    prices = next(source for source in document()["about"]["sources"] if "prices" in source["gives"])
    source = f"{prices['name']} {prices['version']}"
    return CatalogueEntry(
        id=row["id"],
        provider=row["provider"],
        tier=Tier(row["tier"]),
        price=priced(row["price"], made_on(), source),
        window_tokens=row.get("window_tokens"),
        max_output_tokens=row.get("max_output_tokens"),
        abilities=Abilities(**row["abilities"]),
        long_prompts=tuple((step["above_tokens"], priced(step, made_on(), source)) for step in row.get("tiers", ())),
        efforts=tuple(row.get("efforts", ())),
        usual_effort=row.get("usual_effort"),
    )


def priced(usd: Mapping[str, float], day: date, source: str) -> Price:
    """A price from USD per million tokens by kind."""
    return Price(
        input=usd["input"],
        output=usd["output"],
        cache_read=usd.get("cache_read"),
        cache_write=usd.get("cache_write"),
        dated=day,
        source=source,
    )


@cache
def index() -> dict[tuple[str | None, str], CatalogueEntry]:
    """Entries by seller and spelling; without a seller those that one name alone identifies."""
    found: dict[tuple[str | None, str], CatalogueEntry] = {}
    for entry, aliases in table():
        for name in (entry.id, *aliases):
            spelling = next(spellings(name.lower()))
            found[entry.provider, spelling] = entry
            if entry.provider not in SELLERS:
                found[None, spelling] = entry
    return found
