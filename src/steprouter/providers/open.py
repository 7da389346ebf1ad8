"""From a card to the wire that reaches its model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from typing import TYPE_CHECKING, Protocol

from ..answering.answer import Delta
from ..answering.failures import Seen
from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.ask import Ask
from .masking import shown
from .sightings import seen
from .wire import Timeouts, Wire

if TYPE_CHECKING:
    from .langchain_model import LangChainWire

TAKE_MAX_RETRIES = frozenset(
    {
        *("openai", "azure_openai", "azure_ai", "anthropic", "google_genai", "google_vertexai", "groq"),
        *("mistralai", "deepseek", "xai", "fireworks", "together", "openrouter", "perplexity", "cohere"),
    }
)
"""Providers whose models take `max_retries`; Bedrock's and others refuse arguments they do not know."""


class CheckableWire(Wire, Protocol):
    """A wire that can be examined before it is used.

    Promises:
        - `check` sends nothing.
    """

    def check(self) -> None:
        """Make sure that the wire can be used.

        Raises:
            ConfigError: It cannot: a package or a key is missing, or a setting is wrong.
        """
        ...


def open_wire(card: ModelCard) -> CheckableWire:
    """The wire to the model of `card`. Nothing is sent, and no connection is made.

    Raises:
        ConfigError: The card names no way to a model, or a way that cannot work.
    """
    # Imported here: HTTP and LangChain's integrations take up to a second to load, and not every router
    # needs both.
    if card.base_url is not None and card.api == "responses":
        from .responses import ResponsesWire

        return ResponsesWire(card)
    if card.base_url is not None:
        from .chat_completions import ChatCompletionsWire

        return ChatCompletionsWire(card)
    if not isinstance(card.model, str):
        from .langchain_model import LangChainWire

        return LangChainWire(card.model, card)
    if ":" not in card.model:
        raise ConfigError(
            f"model of {card.name!r} must say how it is reached, got {card.model!r}; give base_url, "
            f"or a provider as in 'openai:{card.model}', or a chat model object"
        )
    return NamedModelWire(card)


class NamedModelWire:
    """A wire to a model named by a LangChain string, which is made when it is first needed.

    Args:
        card: Its `model` is such as `openai:gpt-5.6-luna`; its `settings` go to the model's constructor.
    """

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._wire: LangChainWire | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, {self.card.model!r})"

    def check(self) -> None:
        """Make the model, if it has not been made.

        Raises:
            ConfigError: A package or a key is missing, or the provider or a setting is unknown.
        """
        self.wire()

    def wire(self) -> LangChainWire:
        """The wire to the model; two threads at once may both make one, and either will do."""
        if self._wire is None:
            from .langchain_model import LangChainWire

            self._wire = LangChainWire(named_model(self.card), self.card)
        return self._wire

    def stream(self, ask: Ask, timeouts: Timeouts) -> Generator[Delta, None, None]:
        """Say `ask` and give the answer piece by piece."""
        return self.wire().stream(ask, timeouts)

    def astream(self, ask: Ask, timeouts: Timeouts) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        return self.wire().astream(ask, timeouts)

    def saw(self, error: Exception) -> Seen:
        """The facts in an error this wire raised: status, code, text, retry-after."""
        return self._wire.saw(error) if self._wire is not None else seen(error)

    def close(self) -> None:
        """Give connections back."""
        if self._wire is not None:
            self._wire.close()

    async def aclose(self) -> None:
        """As `close`, for the connections of the running event loop."""
        if self._wire is not None:
            await self._wire.aclose()


def named_model(card: ModelCard) -> object:
    """The chat model that a LangChain string names.

    Raises:
        ConfigError: It cannot be made. The message holds no keys, and the error's own chain is cut, because
            constructors quote what they were given.
    """
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise ConfigError(
            f"model {card.model!r} must have LangChain installed; pip install 'steprouter[langchain,openai]', "
            "with the provider's name in place of openai"
        ) from None
    provider, _, _ = str(card.model).partition(":")
    retries = {"max_retries": 0} if provider in TAKE_MAX_RETRIES else {}
    try:
        return init_chat_model(str(card.model), **{**retries, **card.settings})
    except ImportError as error:
        raise ConfigError(
            f"model {card.model!r} must have its provider's package installed; "
            f"pip install 'steprouter[langchain,{provider}]' or 'langchain-{provider}': {said(error, card)}"
        ) from None
    except Exception as error:  # a constructor of any integration, with errors of its own
        raise ConfigError(f"model {card.model!r} of {card.name!r} must be makeable: {said(error, card)}") from None


def said(error: Exception, card: ModelCard) -> str:
    """What a constructor complained about, without the values it was given."""
    errors = getattr(error, "errors", None)
    secrets = [value for value in texts(card.settings.values()) if len(value) >= 8]
    if callable(errors):  # pydantic's ValidationError quotes its input when printed
        complaints = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in errors(include_input=False)]
        return shown("; ".join(complaints), secrets)
    return shown(str(error) or type(error).__name__, secrets)


def texts(values: Iterable[object]) -> list[str]:
    """The texts among settings, secret ones revealed for masking."""
    found = []
    for value in values:
        reveal = getattr(value, "get_secret_value", None)
        text = reveal() if callable(reveal) else value
        if isinstance(text, str):
            found.append(text)
    return found
