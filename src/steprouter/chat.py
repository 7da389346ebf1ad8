"""`StepRouter`: a LangChain chat model that holds chat models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field, InstanceOf, ValidationError

from .answering.answer import Delta
from .answering.budgets import Budget
from .answers import Answers
from .arguments import answer_cache_of, ask_of, budgets_of, card_of, refuse_unknown_fields, refuse_wrong_kinds
from .caching.policy import AnswerCache
from .clock import Clock
from .drive import Run
from .engine import Engine
from .errors import ConfigError
from .keeping import Keeping
from .memory.face import Memory
from .memory.policy import MemoryPolicy
from .messages import closing_chunks, error_of, gateway, live_chunk, whole_message
from .models.card import ModelCard
from .models.identify import shared_profile
from .routing.decision import Decision
from .routing.policy import Policy
from .step.ask import Ask, Toolset
from .tracing.archive import Traces
from .tracing.record import Trace

RUN = "steprouter_run"
TOOLS = "steprouter_tools"
CONFIG = "steprouter_config"
PRIVATE = (RUN, TOOLS, CONFIG)
"""Keyword arguments that travel from the public methods to the private ones and must never reach a tracer, a
cache key or a provider."""


class StepRouter(BaseChatModel):
    """A chat model that answers each step with the cheapest model that is sufficient.

    Put it where an agent had its chat model.

    Args:
        models: The models that may answer: cards, LangChain chat models, or LangChain model strings.
        policy: Rules, tiers, mode.
        answer_cache: What may be answered again without a call: an `AnswerCache`, or `True` for one as it comes;
            off by default. LangChain's own `cache`, and its global one, are then left out unless `cache` says so.
        budget: What may be spent: a `Budget`, or several.
        store: `embedded`, a `redis://` or `rediss://` URL, or `memory`.
        tenant: Whose data the steps are; None lets each run say in its configuration (`tenant`).
        tracing: Whether traces are kept; on by default.
        memory_policy: What is remembered between steps, and how; on by default.
        langchain: LangChain's own fields (`cache`, `callbacks`, `rate_limiter`, `disable_streaming`, …), and
            `temperature`, `max_tokens`, `stop`, `streaming` as defaults of every call, whoever answers it.

    Raises:
        ConfigError: Something in the arguments is wrong; nothing was sent.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    models: tuple[InstanceOf[ModelCard], ...]
    policy: InstanceOf[Policy] = Field(default_factory=Policy)
    answer_cache: InstanceOf[AnswerCache] | None = None
    budget: tuple[InstanceOf[Budget], ...] = ()
    store: str = Field(default="embedded", repr=False)
    tenant: str | None = None
    tracing: bool = True
    memory_policy: InstanceOf[MemoryPolicy] = Field(default_factory=MemoryPolicy)
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    streaming: bool | None = None
    engine: InstanceOf[Engine] = Field(exclude=True, repr=False)

    def __init__(
        self,
        models: Sequence[ModelCard | BaseChatModel | str] = (),
        *,
        policy: Policy | None = None,
        answer_cache: AnswerCache | bool | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        store: str = "embedded",
        tenant: str | None = None,
        tracing: bool | None = None,
        memory_policy: MemoryPolicy | None = None,
        **langchain: Any,
    ) -> None:
        refuse_unknown_fields(langchain, type(self))
        refuse_wrong_kinds(models, policy, memory_policy)
        cards = tuple(card_of(model) for model in models)
        policy, tracing, memory_policy = policy or Policy(), tracing is not False, memory_policy or MemoryPolicy()
        engine = langchain.pop("engine", None)
        clock: Clock | None = langchain.pop("clock", None)
        budgets, answers = budgets_of(budget), answer_cache_of(answer_cache)
        if answers is not None:
            langchain.setdefault("cache", False)  # the same answer need not be kept twice, nor escape its scope
        kept = Keeping(
            store=store, tenant=tenant, tracing=tracing, memory=memory_policy, budgets=budgets, answers=answers
        )
        # `configurable_fields` rebuilds the router for each call, and connections must not be rebuilt with it.
        if engine is None or (engine.given, engine.policy, engine.kept) != (cards, policy, kept):
            engine = Engine(cards, policy, kept, clock=clock)
        ours: dict[str, Any] = {"models": cards, "policy": policy, "store": store, "tenant": tenant}
        ours |= {"memory_policy": memory_policy, "budget": budgets, "answer_cache": answers}
        try:
            super().__init__(**ours, tracing=tracing, engine=engine, **langchain)  # type: ignore[call-arg]  # pydantic's
        except ValidationError as error:
            wrong = error.errors(include_input=False)[0]
            raise ConfigError(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """A router as a YAML file describes it; environment variables win over the file.

        Raises:
            ConfigError: The file cannot be read, or something in it is wrong; names line and field.
        """
        from .config import load

        settings = load(path)
        return cls(
            settings.models,
            policy=settings.policy,
            budget=settings.budgets,
            answer_cache=settings.answers,
            store=settings.store,
            tenant=settings.tenant,
            tracing=settings.tracing,
            memory_policy=settings.memory,
        )

    # What people ask of a router

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """The models, with what was looked up filled in."""
        return self.engine.cards

    @property
    def traces(self) -> Traces:
        """What happened: `traces.list(thread)`, `traces.get(step_id)`; of another tenant `traces.of(tenant)`."""
        return self.engine.traces

    @property
    def answers(self) -> Answers:
        """Answers that may be given again: `stats` and `invalidate`; of another tenant `answers.of(tenant)`."""
        return self.engine.answers

    @property
    def memory(self) -> Memory:
        """What is remembered: `search`, `session`, `overview`; `export` and `load` copy it, `forget` erases it."""
        return self.engine.remembered

    def recommend(
        self,
        messages: LanguageModelInput,
        *,
        tools: Sequence[Any] = (),
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Decision:
        """The decision for these messages, with what memory knows; nothing is recorded.

        Nobody is called but for a tie-break between semantic routes, where the policy has one. Whoever makes the call
        says with `report` what came of it, so that the router learns from it.

        Raises:
            NoAbleModel: No model can take the step.
        """
        return self.engine.recommend(self.asked(messages, tools, kwargs), config).decision

    async def arecommend(
        self,
        messages: LanguageModelInput,
        *,
        tools: Sequence[Any] = (),
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Decision:
        """As `recommend`, without blocking the event loop."""
        return (await self.engine.arecommend(self.asked(messages, tools, kwargs), config)).decision

    def asked(self, messages: LanguageModelInput, tools: Sequence[Any], settings: dict[str, Any]) -> Ask:
        """What a model would be asked."""
        options = {name: settings.pop(name, None) for name in ("tool_choice", "response_format")}
        prompt = tuple(self._convert_input(messages).to_messages())
        return Ask(messages=prompt, tools=Toolset.of(tools, **options), settings=settings)

    def report(
        self,
        decision: Decision,
        answer: AIMessage | str,
        *,
        model: str | None = None,
        seconds: float = 0.0,
        score: float | None = None,
    ) -> Trace:
        """Say what came of a recommended decision: the answer is checked, remembered and traced as one of the router's.

        Args:
            decision: What `recommend` gave, in this process.
            answer: What the model said.
            model: Which candidate was called; None is the first.
            seconds: How long it took.
            score: How good the answer was, from 0, useless, to 1, right; None leaves that to the checks and to
                `feedback`, which may come later.

        Raises:
            ConfigError: The decision is not known here, `model` none of its candidates, or the score out of range.
        """
        return self.engine.report(decision.step_id, model or decision.models[0], answer, seconds, score)

    def feedback(
        self,
        step_id: str | None = None,
        score: float | None = None,
        *,
        thread: str | None = None,
        reason: str | None = None,
        tenant: str | None = None,
    ) -> None:
        """Say how good the answer of a step was, or a whole thread: 0 is useless, 1 is right.

        May come late and in any order; the same verdict counts once, a later one replaces an earlier one. A
        verdict on a thread, within a day of its end, is spread over those of its steps that have none of their own.

        Args:
            step_id: The step, as `response_metadata["steprouter"]["step_id"]` names it.
            score: From 0 to 1.
            thread: The thread, instead of a step.
            reason: Why, for the step's trace.
            tenant: Whose it was, where runs name their tenant themselves.

        Raises:
            ConfigError: The score is out of range, or the step or thread is not known.
            StoreError: The store is away.
        """
        if score is None or (step_id is None) == (thread is None):
            raise ConfigError(
                "feedback needs a score and either a step_id or a thread, "
                f"got score={score!r}, step_id={step_id!r}, thread={thread!r}"
            )
        if step_id is not None:
            self.engine.feedback(step_id, score, reason=reason, tenant=tenant)
        elif thread is not None:
            self.engine.judge(thread, score, tenant=tenant)

    def readmit(self, model: str) -> None:
        """Let a model in again whose key was refused, or which was not found, once that is mended at its provider.

        A new key in the configuration does so by itself.

        Raises:
            ConfigError: `model` is none of the router's.
            StoreError: The store is away; in this process the model is in again.
        """
        self.engine.gate.readmit(model, self.engine.clock.now())

    def redis_url(self) -> str | None:
        """Where this router's Redis is, so that a checkpointer or store of LangGraph can be kept on the same server.

        Opens the store. Holds the password if there is one, so do not log it; None where everything is in memory.
        """
        return self.engine.connection.url()

    def close(self) -> None:
        """Write waiting traces and give connections back. A router that is used again opens them anew."""
        self.engine.close()

    async def aclose(self) -> None:
        """As `close`, for the running event loop's connections too."""
        await self.engine.aclose()

    # Decide before LangChain's run begins, so that tracing names the model that answers

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer one step."""
        prompt = self._convert_input(input)
        messages = prompt.to_messages()
        run = self.take_run(kwargs) or self.engine.begin(*self.read_call(messages, stop, kwargs, config))
        try:
            return super().invoke(prompt, config, stop=stop, **{**kwargs, RUN: run})
        finally:
            self.engine.driver.close(run)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer one step without blocking the event loop."""
        prompt = self._convert_input(input)
        messages = prompt.to_messages()
        run = self.take_run(kwargs) or await self.engine.abegin(*self.read_call(messages, stop, kwargs, config))
        try:
            return await super().ainvoke(prompt, config, stop=stop, **{**kwargs, RUN: run})
        finally:
            self.engine.driver.close(run)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Answer one step piece by piece."""
        prompt = self._convert_input(input)
        messages = prompt.to_messages()
        run = self.take_run(kwargs) or self.engine.begin(*self.read_call(messages, stop, kwargs, config))
        try:
            yield from super().stream(prompt, config, stop=stop, **{**kwargs, RUN: run})
        finally:
            self.engine.driver.close(run)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer one step piece by piece without blocking the event loop."""
        prompt = self._convert_input(input)
        messages = prompt.to_messages()
        run = self.take_run(kwargs) or await self.engine.abegin(*self.read_call(messages, stop, kwargs, config))
        chunks: Any = super().astream(prompt, config, stop=stop, **{**kwargs, RUN: run})
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        finally:
            self.engine.driver.close(run)

    if not TYPE_CHECKING:  # type checkers see the base class's overloads, which stay true

        def stream_events(self, input, config=None, **kwargs):
            """Answer one step as events; version v3 comes past `stream`, and would lose the configuration."""
            if kwargs.get("version") == "v3":
                kwargs[CONFIG] = ensure_config(config)
            return super().stream_events(input, config, **kwargs)

        def astream_events(self, input, config=None, **kwargs):
            """As `stream_events`, without blocking the event loop."""
            if kwargs.get("version") == "v3":
                kwargs[CONFIG] = ensure_config(config)
            return super().astream_events(input, config, **kwargs)

    def read_call(
        self,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | None,
        kwargs: Mapping[str, Any],
        config: RunnableConfig | None = None,
    ) -> tuple[Ask, RunnableConfig | None, str | None]:
        """What a call asks, where, and the model it insists on, if any."""
        defaults = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        ask, model = ask_of(messages, stop or self.stop, kwargs, defaults, ignored=PRIVATE, bound=kwargs.get(TOOLS))
        return ask, config, model

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy that shares models and connections; all else in a router is frozen."""
        return self.model_copy()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a StepRouter holds connections and waiting traces and cannot be pickled; "
            "make one in each process, for which StepRouter.from_file() is at hand"
        )

    # The private methods of the contract

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        config = config_of(kwargs, run_manager)
        run = self.take_run(kwargs) or self.engine.begin(*self.read_call(messages, stop, kwargs, config))
        for _ in self.engine.driver.stream(run, watched=False):
            pass
        return self.result(run)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        config = config_of(kwargs, run_manager)
        run = self.take_run(kwargs) or await self.engine.abegin(*self.read_call(messages, stop, kwargs, config))
        async with aclosing(self.engine.driver.astream(run, watched=False)) as pieces:
            async for _ in pieces:
                pass
        return self.result(run)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        config = config_of(kwargs, run_manager)
        run = self.take_run(kwargs) or self.engine.begin(*self.read_call(messages, stop, kwargs, config))
        shape: str | None = None
        for delta in self.engine.driver.stream(run, watched=True):
            shape = shape or self.shape(run, delta)
            yield live_chunk(delta, shape)
        yield from self.closing(run, shape)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        config = config_of(kwargs, run_manager)
        run = self.take_run(kwargs) or await self.engine.abegin(*self.read_call(messages, stop, kwargs, config))
        shape: str | None = None
        async with aclosing(self.engine.driver.astream(run, watched=True)) as pieces:
            async for delta in pieces:
                shape = shape or self.shape(run, delta)
                yield live_chunk(delta, shape)
        for chunk in self.closing(run, shape):
            yield chunk

    def take_run(self, kwargs: Mapping[str, Any]) -> Run | None:
        """The run that a public method began; None when LangChain came here by another way."""
        run = kwargs.get(RUN)
        return run if isinstance(run, Run) and run.pending is not None else None

    def result(self, run: Run) -> ChatResult:
        """The answer of an ended run as LangChain's result; raises where there is none."""
        outcome, trace = ended(run)
        if outcome.answered_by is None:
            raise error_of(outcome, trace)
        message = whole_message(outcome, trace, self.provider(outcome.answered_by.model))
        return ChatResult(
            generations=[ChatGeneration(message=message, generation_info=gateway(message.response_metadata))]
        )

    def shape(self, run: Run, delta: Delta) -> str | None:
        """Whose shape the content blocks of a piece have; None where it is plain text."""
        if not delta.blocks or run.take is None:
            return None
        take = run.take.answering
        said = take.shaper.details.get("model_provider")
        return str(said or self.provider(take.command.model)["model_provider"])

    def closing(self, run: Run, shape: str | None) -> Iterator[ChatGenerationChunk]:
        """The last chunks of an ended run; raises where there is no answer."""
        outcome, trace = ended(run)
        if outcome.answered_by is None:
            raise error_of(outcome, trace)
        return closing_chunks(outcome, trace, self.provider(outcome.answered_by.model), shape=shape)

    def provider(self, model: str) -> dict[str, Any]:
        """Provider and model name of a candidate, as message metadata has them."""
        provider, name = self.engine.named[model]
        return {"model_provider": provider or "openai_compatible", "model_name": name or model}

    # What others read from a chat model

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; each candidate gets them in its own provider's way.

        Raises:
            ConfigError: `tool_choice` is no known spelling, or names a tool that is not bound.
        """
        options = {k: v for k, v in kwargs.items() if k in ("strict", "parallel_tool_calls") and v is not None}
        bound = Toolset.of(
            tools, tool_choice=tool_choice, response_format=kwargs.get("response_format"), options=options
        )
        # The OpenAI shape is for others to read: tracers, cache keys, `disable_streaming`, create_react_agent.
        seen = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self.bind(tools=list(bound.schemas), **seen, **kwargs, **{TOOLS: bound})

    def _resolve_model_profile(self) -> ModelProfile | None:
        return shared_profile(self.engine.cards)

    @property
    def _llm_type(self) -> str:
        return "steprouter-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # All that decides an answer, because LangChain's cache takes it for the key.
        return {
            "models": self.engine.identities,
            "policy": self.engine.policy_text,
            "tenant": self.tenant,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        run = kwargs.get(RUN)
        first = run.first_model if isinstance(run, Run) else kwargs.get("model")
        params = LangSmithParams(ls_provider="steprouter", ls_model_name="steprouter", ls_model_type="chat")
        if isinstance(first, str) and first in self.engine.named:
            answering = self.provider(first)
            params["ls_provider"], params["ls_model_name"] = answering["model_provider"], answering["model_name"]
        elif isinstance(first, str):
            params["ls_model_name"] = first
        if isinstance(temperature := kwargs.get("temperature", self.temperature), int | float):
            params["ls_temperature"] = float(temperature)
        if isinstance(limit := kwargs.get("max_tokens", self.max_tokens), int):
            params["ls_max_tokens"] = limit
        if ends := stop or self.stop:
            params["ls_stop"] = ends
        return params

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return super()._get_invocation_params(stop=stop or self.stop, **public(kwargs))

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return super()._get_llm_string(stop=stop or self.stop, **public(kwargs))


def public(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Call arguments without those that only travel between our own methods."""
    return {key: value for key, value in kwargs.items() if key not in PRIVATE}


def config_of(
    kwargs: Mapping[str, Any], run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None
) -> RunnableConfig | None:
    """What is known of a call's configuration where LangChain came past `invoke` and `stream`."""
    if CONFIG in kwargs:
        config: RunnableConfig = kwargs[CONFIG]
        return config
    if run_manager is None:
        return None
    return RunnableConfig(tags=run_manager.tags, metadata=run_manager.metadata)


def ended(run: Run) -> Any:
    """Outcome and trace of a run that was driven to its end."""
    return run.outcome, run.trace
