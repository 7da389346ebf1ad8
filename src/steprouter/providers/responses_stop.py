"""Cuts an answer before a stop sequence, for an API that knows none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..answering.answer import Delta

Numbered = tuple[Delta, int | None]
"""A piece, and the number of the event it came with."""


class StopCutter:
    """Passes pieces on as soon as they can hold no part of a stop sequence; a piece goes on whole or not yet.

    Args:
        stops: Texts before which the answer ends; none of them empty.

    Attributes:
        is_cut: A stop sequence has been said; nothing after it counts.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held: list[Numbered] = []
        self.is_cut = False

    def cut(self, pieces: Sequence[Numbered]) -> list[Numbered]:
        """The pieces that may go on."""
        given: list[Numbered] = []
        for piece in pieces:
            if not self.is_cut:
                given += self.passed(piece)
        return given

    def rest(self) -> list[Numbered]:
        """What was held when the stream ended: no stop sequence comes any more."""
        held, self._held = self._held, []
        return [] if self.is_cut else held

    def passed(self, piece: Numbered) -> list[Numbered]:
        """What may go on once one more piece has come."""
        self._held.append(piece)
        text = "".join(delta.text for delta, _ in self._held)
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.is_cut = True
            return [*self.up_to(min(places)), (Delta(finish="stop"), None)]
        is_ended = bool(piece[0].tools or piece[0].finish)  # a call or the end leaves no text to wait for
        return self.released(len(text) if is_ended else len(text) - self.begun(text))

    def begun(self, text: str) -> int:
        """Characters at the end of a text that may be the beginning of a stop sequence."""
        longest = max(map(len, self._stops)) - 1
        tails = (text[-length:] for length in range(min(longest, len(text)), 0, -1))
        return next((len(tail) for tail in tails if any(stop.startswith(tail) for stop in self._stops)), 0)

    def released(self, characters: int) -> list[Numbered]:
        """The held pieces that end within the first characters."""
        given: list[Numbered] = []
        while self._held and (characters := characters - len(self._held[0][0].text)) >= 0:
            given.append(self._held.pop(0))
        return given

    def up_to(self, characters: int) -> Iterator[Numbered]:
        """The first characters of the held pieces."""
        for delta, number in self._held:
            text = delta.text[:characters]
            if text or not delta.text:
                yield (delta if text == delta.text else shortened(delta, text)), number
            characters -= len(delta.text)
            if characters <= 0:
                return


def shortened(delta: Delta, text: str) -> Delta:
    """The piece with less text, in its block too."""
    blocks = tuple({**block, "text": text} if block.get("text") == delta.text else block for block in delta.blocks)
    return delta._replace(text=text, blocks=blocks)
