"""A process that makes processes which run an agent, and may die at any moment.

A program: it reads jobs, a line of JSON each, and runs each in a copy of itself, whose process id it prints at once;
its imports would take longer than all else. The copy writes what it saw into the file that the job names.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from steprouter import Abilities, ModelCard, Policy, StepRouter

PATIENT_SECONDS = 20.0


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}."


def router_of(job: dict[str, Any]) -> StepRouter:
    """A router that goes on from partial turns, with a store that may take its time: a busy machine is no outage."""
    card = ModelCard(
        name="m",
        model="m",
        base_url=job["url"],
        abilities=Abilities(prefill=job.get("prefill", True), prefill_with_tools=True),
    )
    router = StepRouter([card], store=job["store"], policy=Policy())
    settings = router.engine.connection.settings
    router.engine.connection.settings = lambda: replace(settings(), deadline_seconds=PATIENT_SECONDS)
    return router


def seen(parts: list[Any]) -> dict[str, Any]:
    """What a consumer of the graph saw: pieces of messages, and what the router told."""
    chunks = [part for mode, part in parts if mode == "messages"]
    told = [part for mode, part in parts if mode == "custom" and part.get("type") == "steprouter"]
    return {
        "texts": [[message.id, message.text] for message, _ in chunks if message.type == "AIMessageChunk"],
        "resumed": [one for one in told if one["event"] == "resumed"],
    }


def progress(job: dict[str, Any]) -> Callable[[Any], Any]:
    """Passes parts of a stream on, and writes down how much text they had; what was written outlives the process."""
    file = os.open(job["progress"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def heard(part: Any) -> Any:
        mode, message = part
        if mode == "messages" and message[0].type == "AIMessageChunk" and message[0].text:
            os.write(file, message[0].text.encode())
        return part

    return heard


def run(job: dict[str, Any]) -> None:
    """Run an agent to its end, from the question or from where its thread was left."""
    router = router_of(job)
    config: Any = {"configurable": {"thread_id": job["thread"]}}
    given: Any = {"messages": [("user", job["ask"])]} if job["ask"] else None
    how: Any = {"durability": job["durability"]}
    if job["asynchronous"]:
        parts, messages = asyncio.run(arun(router, job, given, config, how))
    else:
        with SqliteSaver.from_conn_string(job["checkpoints"]) as saver:
            agent: Any = create_agent(router, [weather], checkpointer=saver)
            modes = ["messages", "custom"] if job["watched"] else ["custom"]
            heard = progress(job)
            parts = [heard(part) for part in agent.stream(given, config, stream_mode=modes, **how)]
            messages = agent.get_state(config).values["messages"]
    last = messages[-1]
    found = {
        "text": last.text,
        "usage": last.usage_metadata,
        "tools": [message.text for message in messages if message.type == "tool"],
        "answers": sum(message.type == "ai" for message in messages),
        "summary": last.response_metadata["steprouter"],
        **seen(parts),
    }
    router.close()
    Path(job["result"]).write_text(json.dumps(found))


async def arun(router: StepRouter, job: dict[str, Any], given: Any, config: Any, how: Any) -> Any:
    """As `run`, in an event loop."""
    async with AsyncSqliteSaver.from_conn_string(job["checkpoints"]) as saver:
        agent: Any = create_agent(router, [weather], checkpointer=saver)
        modes = ["messages", "custom"] if job["watched"] else ["custom"]
        heard = progress(job)
        parts = [heard(part) async for part in agent.astream(given, config, stream_mode=modes, **how)]
        return parts, (await agent.aget_state(config)).values["messages"]


def serve() -> None:
    """Run jobs until there are no more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that die
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                run(job)
            except BaseException as error:
                Path(job["result"]).write_text(json.dumps({"error": repr(error)}))
            finally:
                os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    serve()
