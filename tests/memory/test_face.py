"""`router.memory`: what people ask, handed on as it was asked, and refused where it makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steprouter import ConfigError, ModelCard, StepKind, StepRouter
from steprouter.memory.face import Exported, Forgotten, Format, Loaded, Memory, Overview, Remembering, format_of
from steprouter.memory.policy import MemoryPolicy
from steprouter.memory.session import Session
from steprouter.testing import ScriptedChatModel, say

NOTHING = Overview(tenant="", records={}, outcomes={}, standings=(), spaces={}, space="", embedder="")


class Asked:
    """A keeper that keeps what it was asked."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def search(self, tenant: str, text: str, kind: StepKind | None, k: int) -> list[Remembering]:
        self.told.append(("search", tenant, text, kind, k))
        return []

    async def asearch(self, tenant: str, text: str, kind: StepKind | None, k: int) -> list[Remembering]:
        self.told.append(("asearch", tenant, text, kind, k))
        return []

    def session(self, tenant: str, thread: str) -> Session:
        self.told.append(("session", tenant, thread))
        return Session()

    def overview(self, tenant: str) -> Overview:
        self.told.append(("overview", tenant))
        return NOTHING

    def forget(self, tenant: str, *, thread: str | None = None, user: str | None = None) -> Forgotten:
        self.told.append(("forget", tenant, thread, user))
        return Forgotten()

    def export(self, tenant: str, path: Path, form: Format) -> Exported:
        self.told.append(("export", tenant, path, form))
        return Exported(path=path, format=form, outcomes=0, tallies=0)

    def load(self, tenant: str, path: Path, form: Format) -> Loaded:
        self.told.append(("load", tenant, path, form))
        return Loaded()

    def flush(self) -> None:
        self.told.append(("flush",))


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def memory(asked: Asked) -> Memory:
    return Memory(lambda: asked, tenant="acme", flush=asked.flush)


def test_what_waits_is_written_before_anything_is_read_or_erased(asked: Asked, memory: Memory) -> None:
    memory.search("text", kind="chat", k=3)
    memory.session("t")
    memory.overview("rival")
    memory.forget(thread="t")
    assert asked.told[::2] == [("flush",)] * 4
    assert asked.told[1::2] == [
        ("search", "acme", "text", StepKind.CHAT, 3),
        ("session", "acme", "t"),
        ("overview", "rival"),
        ("forget", "acme", "t", None),
    ]


async def test_an_async_search_is_handed_on_as_it_was_asked(asked: Asked, memory: Memory) -> None:
    assert await memory.asearch("text", tenant="rival") == []
    assert asked.told == [("asearch", "rival", "text", None, 5)]


@pytest.mark.parametrize(
    ("k", "kind", "said"), [(0, None, "k must be at least 1, got 0"), (1, "x", "kind must be one")]
)
def test_a_search_for_nothing_or_an_unknown_kind_is_refused(memory: Memory, k: int, kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        memory.search("text", kind=kind, k=k)


@pytest.mark.parametrize("named", [{}, {"tenant": None}, {"tenant": ""}])
def test_a_whole_tenant_is_erased_only_by_its_name(asked: Asked, memory: Memory, named: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="forget needs a user, a thread, or the name of the tenant"):
        memory.forget(**named)
    assert asked.told == []
    memory.forget(tenant="acme")
    assert asked.told[-1] == ("forget", "acme", None, None)


@pytest.mark.parametrize(
    ("path", "form", "found"),
    [("a.jsonl", None, "jsonl"), ("a.NDJSON", None, "jsonl"), ("a.parquet", None, "parquet"), ("a", "jsonl", "jsonl")],
)
def test_the_format_is_told_by_the_name_or_said(path: str, form: str | None, found: str) -> None:
    assert format_of(Path(path), form) == found


@pytest.mark.parametrize(("path", "form", "said"), [("a.csv", None, "got 'a.csv'"), ("a.jsonl", "csv", "got 'csv'")])
def test_an_unknown_format_is_refused_with_those_there_are(
    asked: Asked, memory: Memory, path: str, form: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"jsonl.*{said}"):
        memory.export(path, format=form)
    with pytest.raises(ConfigError, match=f"jsonl.*{said}"):
        memory.load(path, format=form)
    assert asked.told == []


def test_forgotten_counts_what_is_left() -> None:
    assert Forgotten().left == 0
    assert Forgotten(remains={"traces": 2, "sessions": 1}).left == 3


def router(**settings: Any) -> StepRouter:
    model = ScriptedChatModel([say("yes")] * 4, model_name="m")
    return StepRouter([ModelCard(name="small", model=model)], store="memory", **settings)


def test_a_router_shows_and_forgets_what_its_steps_left() -> None:
    one = router(tenant="acme")
    place = {"configurable": {"thread_id": "t", "user_id": "ann"}}
    for text in ("how warm is it", "how cold is it"):
        one.invoke(text, place)  # type: ignore[arg-type] # a configuration is a dictionary
    assert one.memory.overview().records == {"outcomes": 2, "sessions": 1, "tallies": 1, "traces": 2}
    assert one.memory.session("t").steps == 2
    assert [found.model for found in one.memory.search("how warm is it", k=1)] == ["small"]
    assert one.memory.forget(user="ann").erased == {"outcomes": 2, "sessions": 1, "traces": 2}
    assert one.traces.list("t") == []
    assert one.memory.overview().records == {"tallies": 1}
    one.close()


def test_the_memory_of_a_process_alone_is_not_copied(tmp_path: Path) -> None:
    one = router()
    with pytest.raises(ConfigError, match="cannot be exported; give the router a store that lasts"):
        one.memory.export(tmp_path / "memory.jsonl")
    with pytest.raises(ConfigError, match="cannot be filled from a file"):
        one.memory.load(tmp_path / "memory.jsonl")
    one.close()


def test_what_was_traced_can_be_erased_while_memory_is_off() -> None:
    one = router(memory_policy=MemoryPolicy(on=False))
    one.invoke("how warm is it", {"configurable": {"thread_id": "t"}})
    assert one.memory.forget(thread="t").erased == {"traces": 1}
    assert one.traces.list("t") == []
    one.close()
