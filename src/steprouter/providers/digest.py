"""Short texts that are the same for the same deployment, so that what is known of it is not taken for another's."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import SecretStr

from ..models.card import ModelCard
from ..models.identify import identity


def settings_digest(card: ModelCard) -> str:
    """A short text that is the same for the same settings, those of the card's effort included."""
    own = card.model if isinstance(card.model, BaseChatModel) else None
    settings = own._get_llm_string() if own is not None else repr(sorted(card.settings.items(), key=str))
    more = "" if card.effort is None else f" {sorted(card.effort.settings.items(), key=str)!r}"
    return sha256(f"{card.base_url} {card.api} {settings}{more}".encode()).hexdigest()[:16]


def deployment_digest(card: ModelCard, environ: Mapping[str, str]) -> str:
    """As `settings_digest`, keys included: a deployment whose key was refused is another one with another key."""
    model = card.model
    if isinstance(model, BaseChatModel):
        given = [getattr(model, name, None) for name in type(model).model_fields]
    else:
        # The integration that a model string names reads its key from the environment, once it is opened.
        mine = (identity(card)[0] or "?").upper().partition("_")[0]
        given = [card.api_key, *card.headers.values(), *(v for k, v in sorted(environ.items()) if k.startswith(mine))]
    secrets = [one.get_secret_value() if isinstance(one, SecretStr) else one for one in given]
    told = " ".join([settings_digest(card), *(one for one in secrets if isinstance(one, str))])
    return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
