"""What the documentation says is true: links lead somewhere, code runs, commands exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from typer.testing import CliRunner

from steprouter import ModelCard, Policy, Rule, StepRouter
from steprouter.cli import app
from steprouter.testing import ScriptedChatModel, obliging

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


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


def test_every_command_in_the_readme_exists() -> None:
    told = set(re.findall(r"^steprouter (\w+)", "\n".join(blocks("sh")), re.MULTILINE))
    assert told == {"show", "recommend", "doctor", "memory"}
    for command in told:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_every_make_target_in_the_readme_exists() -> None:
    told = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert told <= made
