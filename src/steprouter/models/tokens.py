"""Token counts without a tokenizer: an estimate that is quick, the same for every model, and measured.

The weights were fitted to OpenAI's o200k vocabulary. On the half of each text set that the fit did not see,
the estimate divided by the true count was, for the set as a whole and for 90 % of its texts (2026-11):

    agent dialogue                                      1.01   0.93-1.13
    tool results, tool schemas                          1.01   0.96-1.12
    answers in mathematics and JSON                     0.95   0.89-1.03
    code tasks, Python source                           1.00   0.94-1.06
    shell and SQL output                                1.04   0.93-1.23
    German, French, Spanish                             0.97   0.83-1.09
    Russian; Greek and Hebrew                           1.12; 0.88
    Chinese, Japanese, Korean, Arabic, Hindi, Thai      0.99   0.84-1.11

Hexadecimal came out at 1.2, base64 at 0.7, blank text at nearly nothing. Other vocabularies differ. Cl100k of
2023 is alike on English, but the estimate is half of it on Greek, Hebrew, Hindi, Thai and Arabic; it is
0.84-1.00 of Mistral's Tekken on the English sets. It was 0.96-1.04 of what providers reported for answers of
gpt-4.1, gpt-4o and gpt-5.4, 0.91 for Claude Opus 4.6; for questions 0.95 of Claude 3 Haiku's count and 1.49
of Gemini 2.0 Flash's. Whoever checks a limit adds a margin. `benchmarks/token_estimate.py` repeats the fit
and the measurement.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
from langchain_core.messages import AIMessage, BaseMessage

IMAGE_TOKENS = 1_600
"""Tokens for an image, document or recording of unknown size: about the most that Claude 4 (1,600) and
OpenAI (1,536 patches) take for an image (their vision guides, 2025). Small images take far fewer, long
documents far more."""

MESSAGE_TOKENS = 4
"""Tokens a message takes for its role and separators: 3.5 for gpt-4o, 6 for gpt-5.4, 8 for Claude Opus 4.6
(fitted to the growth of reported prompts in recorded agent runs, 2026-11)."""

TOOL_CALL_TOKENS = 8
"""Tokens a tool call takes beyond its name and arguments: about 0 for OpenAI, 60-120 for Claude (ditto)."""

SLICE = 1 << 20
"""Characters looked at together, which bounds the memory a huge text needs."""


class Kind(IntEnum):
    """What a byte of UTF-8 tells about the text: the sort of character in ASCII, else roughly the script."""

    LOWER = 0
    UPPER = 1
    DIGIT = 2
    SPACE = 3
    NEWLINE = 4
    MARK = 5
    LATIN = 6
    TWO_BYTES = 7
    THREE_BYTES = 8
    KANA = 9
    HAN = 10
    HANGUL = 11
    FOUR_BYTES = 12
    CONTINUED = 13


KINDS = len(Kind)

# First and last lead byte of each kind; MARK is what remains. Overlaps: the later line wins.
RANGES = (
    (0x00, 0xFF, Kind.MARK),
    (ord("a"), ord("z"), Kind.LOWER),
    (ord("A"), ord("Z"), Kind.UPPER),
    (ord("0"), ord("9"), Kind.DIGIT),
    (ord("\t"), ord("\t"), Kind.SPACE),
    (ord(" "), ord(" "), Kind.SPACE),
    (ord("\n"), ord("\n"), Kind.NEWLINE),
    (ord("\r"), ord("\r"), Kind.NEWLINE),
    (0x80, 0xBF, Kind.CONTINUED),
    (0xC0, 0xDF, Kind.TWO_BYTES),
    (0xC2, 0xCA, Kind.LATIN),  # accented Latin letters
    (0xE0, 0xEF, Kind.THREE_BYTES),
    (0xE3, 0xE3, Kind.KANA),  # with CJK punctuation
    (0xE4, 0xE9, Kind.HAN),
    (0xEA, 0xED, Kind.HANGUL),
    (0xF0, 0xFF, Kind.FOUR_BYTES),
)

# Tokens by character, and on top of that for the first of a run: least squares of the relative error on one
# half of each text set, as the benchmark prints them. Spaces cost nothing: they join what follows.
EACH = {
    Kind.LOWER: 0.054,
    Kind.UPPER: 0.191,
    Kind.DIGIT: 0.247,
    Kind.MARK: 0.340,
    Kind.LATIN: 0.405,
    Kind.TWO_BYTES: 0.322,
    Kind.THREE_BYTES: 0.361,
    Kind.KANA: 0.597,
    Kind.HAN: 0.654,
    Kind.HANGUL: 0.607,
    Kind.FOUR_BYTES: 2.567,
}
WORD_START = 0.779
RUN_START = {Kind.DIGIT: 1.380, Kind.MARK: 0.363, Kind.NEWLINE: 0.859}
INSIDE_WORD = (Kind.LOWER, Kind.UPPER, Kind.LATIN, Kind.CONTINUED)


@cache
def kinds() -> npt.NDArray[np.uint8]:
    """The kind of each byte; (256,) uint8."""
    # NumPy is imported by the first estimate: with it `import steprouter` would take a fifth of a second longer.
    import numpy as np

    table = np.zeros(256, dtype=np.uint8)
    for first, last, kind in RANGES:
        table[first : last + 1] = kind
    return table


@cache
def weights() -> npt.NDArray[np.float32]:
    """Tokens for a byte of one kind after a byte of another; (256,) float32 at previous * KINDS + current."""
    import numpy as np

    table = np.zeros(256, dtype=np.float32)
    for previous in Kind:
        for current in Kind:
            tokens = EACH.get(current, 0.0)
            if current in (Kind.LOWER, Kind.UPPER) and previous not in INSIDE_WORD:
                tokens += WORD_START
            if previous != current:
                tokens += RUN_START.get(current, 0.0)
            table[previous * KINDS + current] = tokens
    return table


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` is; 0 only for empty text. 100 kB take about 0.3 ms."""
    total = sum(slice_tokens(text[at : at + SLICE]) for at in range(0, len(text), SLICE))
    return max(1, math.ceil(total)) if text else 0


def slice_tokens(text: str) -> float:
    """The estimate for text that is not empty, not rounded."""
    return float(weights()[byte_pairs(text)].sum(dtype="float64"))


def byte_pairs(text: str) -> npt.NDArray[np.uint8]:
    """Each byte's kind with the kind before it, as `weights` is indexed; a space comes before the text."""
    import numpy as np

    # Lone surrogates come from cut JSON escapes; they are counted like a character of three bytes.
    found = kinds()[np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)]
    pairs = np.empty_like(found)
    pairs[0] = Kind.SPACE * KINDS + found[0]
    np.multiply(found[:-1], KINDS, out=pairs[1:])
    pairs[1:] += found[1:]
    return pairs


def estimate_message_tokens(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]] = ()) -> int:
    """About how many prompt tokens `messages` and `tools` take.

    Tools are counted as compact JSON: gpt-4o rewrites them to about 0.8 of that, Claude 3.5 takes 1.1 and
    some 300 tokens for instructions (fitted to the reported prompts of 1,149 calls, 2024). Images and other
    media count `IMAGE_TOKENS` each.
    """
    total = sum(estimate_tokens(compact_json(tool)) for tool in tools)
    for message in messages:
        total += MESSAGE_TOKENS + content_tokens(message.content)
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                total += TOOL_CALL_TOKENS + estimate_tokens(call["name"] + compact_json(call["args"]))
    return total


def content_tokens(content: object) -> int:
    """The estimate for a message's content, text or blocks."""
    if isinstance(content, str):
        return estimate_tokens(content)
    if not isinstance(content, list):
        return 0
    return sum(
        estimate_tokens(block) if isinstance(block, str) else block_tokens(block)
        for block in content
        if isinstance(block, str | Mapping)
    )


# Tool calls are counted from `AIMessage.tool_calls`, where every integration puts them as well.
COUNTED_ELSEWHERE = frozenset({"function_call", "server_tool_call", "tool_call", "tool_call_chunk", "tool_use"})
MEDIA = frozenset(
    {
        *("audio", "document", "file", "image", "image_url", "input_audio", "input_file", "input_image"),
        *("media", "video", "video_url"),
    }
)


def block_tokens(block: Mapping[str, Any]) -> int:
    """The estimate for one content block; what it carries beside text and media is not counted."""
    kind = block.get("type")
    if kind in COUNTED_ELSEWHERE:
        return 0
    if kind in MEDIA:
        return IMAGE_TOKENS
    return sum(estimate_tokens(text) for text in texts(block)) + content_tokens(block.get("content"))


def texts(block: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a text, reasoning or thinking block."""
    for name in ("text", "reasoning", "thinking"):
        text = block.get(name)
        if isinstance(text, str):
            yield text


def compact_json(value: object) -> str:
    """JSON without spaces, whatever the value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
