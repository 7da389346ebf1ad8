"""What the documentation says is true: links lead somewhere, code runs, commands exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from typer.testing import CliRunner

from steprouter import Budget, ContentFilter, Limits, ModelCard, Policy, Rule, StepRouter
from steprouter.answering.resume import Continuation, Rung, Salvage
from steprouter.cli import app
from steprouter.commands import EventName
from steprouter.config import load
from steprouter.config.complaints import Fields
from steprouter.config.fields import (
    AbilityFields,
    AnswerCacheFields,
    BudgetFields,
    ContentFilterFields,
    FileFields,
    LangCacheFields,
    LimitFields,
    MemoryFields,
    ModelFields,
    PolicyFields,
    PriceFields,
    ProbeFields,
    ResumptionFields,
    RouteFields,
    RuleFields,
    TieBreakFields,
)
from steprouter.errors import BudgetExceeded
from steprouter.flow import resumption
from steprouter.redaction import Kind
from steprouter.routing.sufficiency import Fate
from steprouter.testing import ScriptedChatModel, SimulatedProvider, Usage, fail, obliging, say
from steprouter.tracing.record import AttemptRecord, CacheRecord, CandidateRecord, Part, PassedRecord, ResumedRecord

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


FAILURES = (ROOT / "docs" / "failures.md").read_text()
EFFORT = (ROOT / "docs" / "effort.md").read_text()
PREDICTION = (ROOT / "docs" / "prediction.md").read_text()
ROUTING = (ROOT / "docs" / "routing.md").read_text()
RESUMPTION = (ROOT / "docs" / "resumption.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
RULES = (ROOT / "docs" / "rules.md").read_text()
ROUTES = (ROOT / "docs" / "routes.md").read_text()
CACHING = (ROOT / "docs" / "caching.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def anchor(heading: str) -> str:
    """What GitHub calls a heading in an address."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_a_page_leads_to_a_heading(page: Path) -> None:
    text = page.read_text()
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_readme_example_is_fifteen_lines_and_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """As printed, but for the models (scripted instead of named) and the tools."""
    code = blocks("python")[0]
    assert len(code.strip().splitlines()) <= 15

    @tool
    def charges(last4: str) -> str:
        """Newest charges of a card."""
        return "23.50 EUR twice"

    def card(**given: Any) -> ModelCard:
        return ModelCard(name=str(given["name"]), model=ScriptedChatModel(obliging), tier=given.get("tier"))

    names = {"create_agent": create_agent, "StepRouter": StepRouter, "ModelCard": card, "charges": charges}
    lines = [line for line in code.splitlines() if not line.startswith("from ")]
    memory = (
        "\n".join(lines).replace("tools=[...]", "tools=[charges]").replace("\n])\nagent", '\n], store="memory")\nagent')
    )
    exec(memory, names)
    assert "'kind': " in capsys.readouterr().out


def test_what_the_readme_says_of_memory_runs() -> None:
    model = ScriptedChatModel(obliging, model_name="small")
    router = StepRouter([ModelCard(name="small", model=model)], store="memory")
    answer = router.invoke("Hello", {"configurable": {"thread_id": "t-1", "user_id": "bob"}})
    step_id = answer.response_metadata["steprouter"]["step_id"]
    exec(blocks("python")[1], {"router": router, "step_id": step_id})
    assert router.memory.session("t-1").steps == 0


def test_the_policy_in_the_readme_is_a_valid_policy() -> None:
    policy = eval(blocks("python")[2], {"Policy": Policy, "Rule": Rule})
    assert (policy.mode, policy.reference) == ("observe", "large")


def test_the_budget_in_the_readme_is_a_valid_setting() -> None:
    local = ModelCard(name="local", model=ScriptedChatModel(obliging))
    known = {"StepRouter": StepRouter, "Budget": Budget, "Policy": Policy, "ContentFilter": ContentFilter}
    router = eval(blocks("python")[3], {**known, "models": [local]})
    assert router.budget[0].fallback == "local"


def test_every_command_in_the_readme_exists() -> None:
    told = set(re.findall(r"^steprouter (\w+)", "\n".join(blocks("sh")), re.MULTILINE))
    assert told == {"show", "recommend", "doctor", "memory"}
    for command in told:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_every_make_target_in_the_readme_exists() -> None:
    told = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert told <= made


EXAMPLE = re.compile(r"^## (.+?)$|^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def examples(page: str) -> Iterator[Any]:
    """The examples of a page: how they begin, their code and what it prints, named by their heading."""
    heading, beginning = "", ""
    for match in EXAMPLE.finditer(page):
        if match[1]:
            heading = match[1]
        elif not beginning:
            beginning = match[2]
        else:
            yield pytest.param(beginning, match[2], match[3] or "", id=heading)


@pytest.mark.parametrize(
    ("beginning", "code", "printed"),
    [
        *examples(FAILURES),
        *examples(RESUMPTION),
        *examples(ROUTING),
        *examples(PREDICTION),
        *examples(RULES),
        *examples(EFFORT),
        *examples(ROUTES),
        *examples(CACHING),
    ],
)
def test_an_example_prints_what_stands_below_it(
    beginning: str, code: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(code.splitlines()) <= 20
    if "journal_key" in code:
        pytest.importorskip("cryptography")
    names: dict[str, Any] = {}
    exec(beginning, names)
    exec(code, names)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == printed.splitlines()


def test_every_field_of_the_event_of_a_resumption_is_documented() -> None:
    left = Salvage(shown="The refund", is_left=True)
    going = Continuation(rung=Rung.PREFILL, model="large", left="small", salvage=left)
    listed = RESUMPTION.partition("## When the process dies")[2].partition("\n\n**Where.**")[0]
    assert {*resumption(going), "text"} <= set(re.findall(r"`(\w+)`", listed))


def test_every_event_that_is_told_stands_in_the_documentation() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", FAILURES.partition("## Events in a graph")[2], re.MULTILINE))
    assert set(get_args(EventName)) <= told


@pytest.mark.parametrize("record", [AttemptRecord, PassedRecord, ResumedRecord])
def test_what_a_trace_holds_of_failures_is_documented(record: type[Part]) -> None:
    page = FAILURES.partition("## What a trace holds")[2]
    figures = {"model", "why", "began_seconds", "seconds", "first_token_seconds", "finish", "lesson", "estimated"}
    figures |= {name for name in record.model_fields if name.endswith(("_tokens", "_usd"))}
    assert {name for name in record.model_fields if name not in figures and f"`{name}`" not in page} == set()


def test_what_a_trace_holds_of_the_cache_is_documented() -> None:
    page = CACHING.partition("## What a trace holds")[2]
    assert set(CacheRecord.model_fields) <= set(re.findall(r"`(\w+)`", page))


def test_the_page_on_rules_explains_every_condition_and_effect() -> None:
    listed = re.findall(r"^\| (`.+?`) \|", RULES, re.MULTILINE)
    assert set(RuleFields.model_fields) - {"name"} <= set(re.findall(r"`(\w+)`", " ".join(listed)))


def test_the_page_on_rules_names_every_kind_of_personal_data() -> None:
    assert {str(kind) for kind in Kind} | {"attachment"} <= set(re.findall(r"`(\w+)`", RULES))


def test_the_page_on_routes_explains_every_field() -> None:
    listed = re.findall(r"^\| (`.+?`) \|", ROUTES, re.MULTILINE)
    assert set(RouteFields.model_fields) <= set(re.findall(r"`(\w+)`", " ".join(listed)))


def test_the_fates_of_candidates_are_documented() -> None:
    listed = ROUTING.partition("## What the trace holds of a decision")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", listed, re.MULTILINE)) == set(Fate)
    figures = set(CandidateRecord.model_fields) - {"model", "tier", "kept", "reason", "expected_usd", "lesson_tokens"}
    assert {name for name in figures if f"`{name}`" not in listed} == set()


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ("top", FileFields),
        ("a model", ModelFields),
        ("`limits`", LimitFields),
        ("`price`", PriceFields),
        ("`abilities`", AbilityFields),
        ("`policy`", PolicyFields),
        ("`resume`", ResumptionFields),
        ("`probes`", ProbeFields),
        ("`memory`", MemoryFields),
        ("`content_filter`", ContentFilterFields),
        ("a budget", BudgetFields),
        ("a rule", RuleFields),
        ("a route", RouteFields),
        ("`tie_break`", TieBreakFields),
        ("`answer_cache`", AnswerCacheFields),
        ("`langcache`", LangCacheFields),
    ],
)
def test_the_page_on_configuration_lists_every_field(row: str, fields: type[Fields]) -> None:
    listed = re.search(rf"^\| {row} \| (.+) \|$", CONFIGURATION, re.MULTILINE)
    assert listed is not None
    assert set(fields.model_fields) <= set(re.findall(r"`(\w+)`", listed[1]))


def test_the_example_of_a_file_says_what_it_says_of_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_KEY", "a key")
    path = tmp_path / "steprouter.yaml"
    path.write_text(CONFIGURATION.split("```yaml\n")[1].split("```")[0])
    made = load(path)
    assert made.models[2].limits == Limits(requests_per_minute=60, concurrency=4)
    assert made.policy.content_filter == ContentFilter(reaction="reroute", models=("local",))
    assert (made.policy.deadline_seconds, made.policy.hedge) == (60, True)
    assert made.budgets == (
        Budget(usd=20, per="tenant", period="day", fallback="local"),
        Budget(tokens=200_000, per="thread", cheaper_at=0.5),
    )


FILE = """
models:
  - {{name: small, base_url: "{url}", model: small, price: {{input: 1, output: 1}}, limits: {{requests_per_minute: 1}}}}
  - {{name: large, base_url: "{url}", model: large, price: {{input: 9, output: 9}}}}
policy: {{content_filter: {{reaction: fallback_message, message: Sorry.}}, deadline_seconds: 30, patience_seconds: 1}}
budget: [{{tokens: 700, per: thread}}]
store: memory
"""


def test_limits_a_budget_and_a_reaction_from_a_file_are_obeyed(tmp_path: Path) -> None:
    path, answer = tmp_path / "steprouter.yaml", say("Well.", usage=Usage(input_tokens=200, output_tokens=100))
    at = RunnableConfig(configurable={"thread_id": "t-1"})
    with SimulatedProvider({"small": answer, "large": [fail(400, code="content_filter"), answer]}) as provider:
        path.write_text(FILE.format(url=provider.url))
        router = StepRouter.from_file(path)
        assert [router.invoke("Hello", at).text for _ in range(3)] == ["Well.", "Sorry.", "Well."]
        assert [len(provider.requests_to(model)) for model in ("small", "large")] == [1, 2]
        with pytest.raises(BudgetExceeded):
            router.invoke("Hello", at)
        router.close()
