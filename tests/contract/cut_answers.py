"""Fifty answers to cut, and a wire in memory that cuts them at any byte in any way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from typing import Any, Literal

from langchain_core.messages import AIMessage

from steprouter.answering.answer import Delta
from steprouter.answering.failures import Seen
from steprouter.providers.completion_chunks import CompletionReader
from steprouter.providers.refusals import BrokenOff, Stalled, stream_refusal
from steprouter.providers.sightings import seen
from steprouter.step.ask import Ask

Way = Literal["reset", "stall", "end", "error event"]
WAYS: tuple[Way, ...] = ("reset", "stall", "end", "error event")


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer to cut.

    Attributes:
        text: Its text.
        calls: Names and arguments of its tool calls, as JSON text.
        is_json: Whether a format is asked for.
        sizes: Characters in each piece, in turn.
    """

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    is_json: bool = False
    sizes: tuple[int, ...] = (4,)


PROSE = [
    "The harbour was quiet before dawn, and the lamps on the water looked like a second, slower city.",
    "Yes. No; maybe: it depends (as ever) on the wind – and on who asks.",
    "No, no, no, no, no! And no again, and again, and again, and again.",
    "x",
    "  Two spaces first,\n\n\nthree lines between, and a tab\tat the end.\n",
    "It cost $1,234.56 (about 3.5 %) on 2026-11-23 at https://example.org/a/b?c=d&e=f#g, they said.",
    "Naïve café, Ærøskøbing, Straße, Ελλάδα, Москва: Unicode outside of ASCII.",
    "The the the. Had had had had. That that is is that that is not is not.",
    "Donaudampfschifffahrtsgesellschaftskapitänswitwenrente and other words that are too long to hold.",
    "Row row row your boat, gently down the stream. Row row row your boat, gently down the stream.",
]
MARKDOWN = [
    "# Title\n\nSome *text* with `code` and a [link](http://x.y/z).\n\n- one\n- two\n  - nested\n\n1. first\n2. second",
    "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nThat is the table.",
    "> quoted\n> lines\n\n**bold** and ~~struck~~\n\n---\nafter the rule",
    "Steps:\n\n1. Open the door\n2. Open the window\n3. Open the box\n\nDone.",
    "- [ ] task one\n- [x] task two\n- [ ] task three",
]
CODE = [
    "Here:\n\n```python\ndef f(x):\n    return x + 1\n\n\nprint(f(2))\n```\n\nIt prints 3.",
    "```js\nfor (let i = 0; i < 3; i++) {\n  console.log(`${i}`);\n}\n```",
    "Run `make test` and then:\n```sh\nmake check && echo ok\n```\nThat is all.",
    "```\nplain block\n  with indent\n```\n\n````md\n```nested```\n````\n",
    "def g(a, b):\n\treturn {a: [b, b, b], 'k': \"v\"}  # no fence\n\n\ng(1, 2)\n",
]
CJK = [
    "港は夜明け前で静かだった。水に映る灯りは、もう一つのゆっくりした街のように見えた。",
    "今天天气很好,我们去公园散步吧。你觉得怎么样?",
    "서울은 대한민국의 수도이고, 한강이 도시를 가로지른다.",
    "สวัสดีครับ วันนี้อากาศดีมาก",
    "東京 Tokyo と 大阪 Osaka の間は 500 km です。",
]
EMOJI = [
    "Weather: 🌦️ then ☀️, wind 🌬️ – family 👨‍👩‍👧‍👦 and flags 🇳🇴🇯🇵 stay whole 👍🏽.",
    "🎉🎉🎉 done 🎉🎉🎉",
    "e\u0301 a\u0308 combine; z\u0351\u036b\u0343 too",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 beyond the basic plane 𐍈 and back",
    "a👩🏾‍💻b👩🏾‍💻c",
]
TOOLS = [
    Said(calls=(("weather", '{"city": "Oslo"}'),)),
    Said(text="Let me look that up.", calls=(("weather", '{"city": "Tromsø", "days": 3}'),)),
    Said(text="Two at once:", calls=(("weather", '{"city": "Oslo"}'), ("weather", '{"city": "Bergen"}'))),
    Said(calls=(("move", '{"place": "/home/bob/old drafts/2026", "force": false}'),)),
    Said(text="東京の天気を調べます。", calls=(("weather", '{"city": "東京 🌦️"}'),)),
    Said(calls=(("weather", "{}"), ("move", '{"place": "a\\"b\\\\c\\u00e9"}'), ("weather", '{"city": ""}'))),
    Said(text="I will delete nothing", calls=(("move", '{"place": "{\\"nested\\": [1, 2, {}]}"}'),)),
    Said(text="Wait, ", calls=(("weather", '{"city":"X"}'),)),
    Said(text="- first\n- second\n\n", calls=(("move", '{"place": "x", "n": 12345678901234567890}'),)),
    Said(text="```py\nx = 1\n```", calls=(("weather", '{"city": "Ålesund"}'),)),
]
JSON = [
    '{"name": "Oslo", "days": [1, 2, 3], "note": "cold, but fine"}',
    '{"a": {"b": {"c": [true, false, null, -1.5e-3]}}}',
    '{\n  "pretty": "printed",\n  "list": [\n    "x",\n    "y"\n  ]\n}',
    '{"text": "quotes \\" and \\\\ and \\u00e9 and 東京 🌦️"}',
    '{"empty": {}, "none": [], "long": "word word word word word word word word"}',
]

ANSWERS: tuple[Said, ...] = (
    *(Said(text=text, sizes=(4, 1, 7, 3, 12)) for text in (*PROSE, *MARKDOWN, *CODE, *EMOJI)),
    *(Said(text=text, sizes=(1, 2, 1, 3)) for text in CJK),
    *TOOLS,
    *(Said(text=text, is_json=True, sizes=(5, 2, 9)) for text in JSON),
    *(Said(text=text, sizes=(2,)) for text in PROSE[:5]),
)


def body(said: Said, *, usage: tuple[int, int]) -> bytes:
    """The bytes of an answer, as a server of Chat Completions streams it."""
    return b"".join(events(said, usage))


def events(said: Said, usage: tuple[int, int]) -> Iterator[bytes]:
    text, sizes = said.text, cycle(said.sizes)
    while text:
        size = next(sizes)
        yield event({"content": text[:size]})
        text = text[size:]
    for index, (name, args) in enumerate(said.calls):
        yield event({"tool_calls": [{"index": index, "id": f"c{index}", "function": {"name": name, "arguments": ""}}]})
        for at in range(0, len(args), 6):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": args[at : at + 6]}}]})
    yield event({}, finish="tool_calls" if said.calls else "stop")
    counted = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    yield b"data: " + json.dumps({"choices": [], "usage": counted}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    chunk = {"choices": [{"delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


@dataclass
class CutWire:
    """Answers by reading the bytes of a server; breaks off each answer where it is told to, and goes on exactly.

    Attributes:
        said: The answer.
        cuts: Where the first answer breaks, the second, and so on, in bytes of its own body; further ones are whole.
        way: How.
        asks: What was asked, in order.
    """

    said: Said
    cuts: tuple[int, ...]
    way: Way
    chunk_bytes: tuple[int, ...] = (64, 11, 200, 3)
    asks: list[Ask] = field(default_factory=list)

    def stream(self, ask: Ask, timeouts: Any) -> Generator[Delta, None, None]:
        cut = self.cuts[len(self.asks)] if len(self.asks) < len(self.cuts) else None
        self.asks.append(ask)
        data = body(self.rest(ask), usage=(100 + len(self.asks), 50))
        reader = CompletionReader("model 'm'", provider="openai_compatible")
        arriving, sizes = data if cut is None else data[:cut], cycle(self.chunk_bytes)
        while arriving:
            size = next(sizes)
            yield from reader.feed(arriving[:size])
            arriving = arriving[size:]
        if cut is not None and cut < len(data):
            match self.way:
                case "reset":
                    raise BrokenOff("model 'm': the connection was reset")
                case "stall":
                    raise Stalled("model 'm' said nothing more in time")
                case "error event":
                    raise stream_refusal(
                        "model 'm'", {"message": "The server had an error", "type": "server_error"}, ()
                    )
        yield from reader.close()

    async def astream(self, ask: Ask, timeouts: Any) -> AsyncGenerator[Delta, None]:
        for piece in self.stream(ask, timeouts):
            await asyncio.sleep(0)
            yield piece

    def rest(self, ask: Ask) -> Said:
        """What is left to say after a partial turn; it must be of this answer."""
        last = ask.messages[-1]
        if not isinstance(last, AIMessage):
            return self.said
        assert self.said.text.startswith(str(last.content)), (self.said.text, last.content)
        assert last.content == str(last.content).rstrip()
        return Said(text=self.said.text[len(last.content) :], calls=self.said.calls, sizes=self.said.sizes)

    def saw(self, error: Exception) -> Seen:
        return seen(error, ())

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def cuts_of(said: Said) -> range:
    """Every place in an answer's body at which it can break."""
    return range(len(body(said, usage=(101, 50))))


def sample(number: int, seed: int) -> list[tuple[int, int, Way, int]]:
    """Some cuts: which answer, at which byte, how, and where its continuation breaks again (0 is nowhere)."""
    random = Random(seed)
    found = []
    for _ in range(number):
        answer = random.randrange(len(ANSWERS))
        at = random.choice(cuts_of(ANSWERS[answer]))
        again = random.randrange(400) if random.random() < 0.3 else 0
        found.append((answer, at, random.choice(WAYS), again))
    return found
