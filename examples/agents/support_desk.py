"""A support desk: triage, an agent with real tools, a reply to the customer, a note for the file.

What to watch in the trace:
- triage, tool calls and reading results go to the small model, the reply to the customer to the large one;
- one call of the small model breaks the tool's schema: it is refused unseen and the large model asked instead;
- one provider is down for a moment: the step fails over, the agent does not notice;
- a tool fails twice: the first `recover` step stays on the small model, the second moves up.

    python examples/agents/support_desk.py            simulated providers: no key is read, nothing is paid
    python examples/agents/support_desk.py --keys     the providers whose keys are in the environment
    python examples/agents/support_desk.py --local    two real models on this machine
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Literal, TypedDict

from desk_models import DeskModels, desk_models
from desk_tools import desk_tools, open_desk
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, Field
from rich.console import Console

from steprouter import Policy, StepKind, StepRouter
from steprouter.tracing.terminal import steps_table

HERE = Path(__file__).parent
CUSTOMER = "The customer is Ana Silva; her cards end in 4821 and 7730."

REPLY = [
    SystemMessage(f"You are a bank clerk. Write the reply to the customer in one or two plain sentences. {CUSTOMER}"),
    HumanMessage("Customer: My top-up is not working\nDone: the top-up of 50 EUR was repeated and went through"),
    AIMessage("Dear Ana, your top-up of 50 EUR has now gone through. We are sorry for the trouble."),
]
NOTE = [
    SystemMessage("Note the case in one short line."),
    HumanMessage("My top-up is not working -> Dear Ana, your top-up of 50 EUR has now gone through."),
    AIMessage("Top-up of 50 EUR repeated, done."),
]


class Triage(BaseModel):
    """What a customer's message is about."""

    topic: Literal["card", "payment", "question"] = Field(description="card: lost, stolen or broken; payment: charges")
    urgent: bool = Field(description="money may be lost if nobody acts within the hour")


class Case(TypedDict, total=False):
    """One customer's case on its way through the desk."""

    ticket: str
    topic: str
    messages: list[BaseMessage]
    reply: str
    note: str


def build_desk(router: StepRouter, database: Path) -> CompiledStateGraph[Case, None, Case, Case]:
    """The desk as a graph: triage, then the agent where tools are needed, then reply and note."""
    worker = create_agent(
        router,
        desk_tools(open_desk(database)),
        middleware=[ModelCallLimitMiddleware(run_limit=6)],
        system_prompt=f"You work at a bank's support desk. {CUSTOMER} Use the tools; say what you did.",
    )

    def triage(state: Case) -> Case:
        found = router.with_structured_output(Triage).invoke(
            [SystemMessage("Sort the customer's message."), HumanMessage(state["ticket"])]
        )
        return {"topic": found.topic if isinstance(found, Triage) else "question"}

    def work(state: Case) -> Case:
        return {"messages": worker.invoke({"messages": [HumanMessage(state["ticket"])]})["messages"]}

    def reply(state: Case) -> Case:
        done = "\n".join(m.text for m in state.get("messages", []) if isinstance(m, AIMessage) and m.text)
        asked = f"Customer: {state['ticket']}\nDone: {done or 'nothing yet'}"
        return {"reply": router.invoke([*REPLY, HumanMessage(asked)]).text}

    def summary(state: Case) -> Case:
        told = f"{state['ticket']} -> {state['reply']}"
        return {"note": router.invoke([*NOTE, HumanMessage(told)], stop=["\n"]).text}

    desk = StateGraph(Case)
    desk.add_node(triage).add_node(work).add_node(reply).add_node(summary)
    desk.add_edge(START, "triage")
    desk.add_conditional_edges("triage", lambda c: "reply" if c["topic"] == "question" else "work", ["work", "reply"])
    desk.add_edge("work", "reply")
    desk.add_edge("reply", "summary")
    desk.add_edge("summary", END)
    return desk.compile()


def customer_messages(count: int) -> list[str]:
    """The first message of each of `count` intents of the banking77 extract."""
    with (HERE / "data" / "banking77_extract.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return list({row["intent"]: row["text"] for row in reversed(rows)}.values())[::-1][:count]


def run(models: DeskModels, *, messages: int, console: Console) -> None:
    """Work through customer messages and print what was said and which model said it."""
    thread = f"desk-{time.strftime('%Y%m%d-%H%M%S')}"
    nodes = {"reply": StepKind.ANSWER, "triage": None, "summary": None, "work": None, "model": None}
    router = StepRouter(models.cards, policy=Policy(nodes=nodes, kinds=models.kinds))
    desk = build_desk(router, HERE / ".data" / "desk.sqlite")
    for text in customer_messages(messages):
        case = desk.invoke({"ticket": text}, {"configurable": {"thread_id": thread}, "recursion_limit": 25})
        console.print(f"[bold]Customer[/] {text}\n[bold]Desk[/]     {case['reply']}\n[dim]Note     {case['note']}[/]\n")
    console.print(steps_table(router.traces.list(thread)))
    console.print(f"\nSee one step in depth: steprouter show {thread} --step 1")
    router.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--keys", action="store_true", help="use the providers whose keys are in the environment")
    where.add_argument("--local", action="store_true", help="use two local models")
    parser.add_argument("--messages", type=int, default=3, help="how many customers (1 to 12)")
    parser.add_argument("--seed", type=int, default=1, help="for local models")
    given = parser.parse_args()
    with desk_models("keys" if given.keys else "local" if given.local else "simulated", seed=given.seed) as models:
        print(models.says)
        run(models, messages=given.messages, console=Console())
