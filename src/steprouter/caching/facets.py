"""What two questions must have in common before one may be given the other's answer, however alike they are."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

from .amounts import joined
from .counting import counted
from .english import DIRECTIONS
from .languages import language_of, read_to_the_letter
from .pieces import pieces
from .plain import LONGEST_CHARS, plain
from .reading import Reader
from .turns import rewritten

VERSION = 1
"""Of what is read: with another one nothing that was kept agrees."""

NAMES = {
    "n": "numbers",
    "d": "dates and times",
    "g": "negation",
    "c": "comparison",
    "r": "relations",
    "s": "scope",
    "p": "persons",
    "m": "modality",
    "i": "conditions",
    "t": "tense",
    "q": "question",
    "x": "quotations",
    "w": "words",
    "=": "text that cannot be read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """What a text says besides being like others.

    Attributes:
        language: `en`, `de`, `fr`, `es`, `it`, `pt`, `nl`; empty if it is none of them for certain.
        items: What it says, in order: a letter for the facet, a colon, the value. Of a text that cannot be read,
            its digest.
    """

    language: str
    items: tuple[str, ...]


def facets_of(text: str) -> Facets | None:
    """What a text says; None if it is too long to be compared by meaning."""
    if len(text) > LONGEST_CHARS:
        return None
    simple = plain(text)
    if simple is None:
        return Facets(language="", items=(f"=:{digest(text)}",))
    language = language_of(simple.lower())
    tokens = pieces(simple)
    if language == "en":
        return Facets(language="en", items=Reader(joined(counted(rewritten(tokens), "en"))).read())
    return Facets(language=language, items=read_to_the_letter(joined(counted(tokens, language)), language))


def digest(text: str) -> str:
    """Tells one text that cannot be read from others, white space aside."""
    spaced = " ".join(text.split())
    return hashlib.blake2b(spaced.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def disagreements(a: Facets | None, b: Facets | None) -> tuple[str, ...]:
    """What two texts do not have in common, in words and without saying what stands in them; empty if they agree."""
    if a is None or b is None:
        return ("length",)
    if a.items == b.items == ():
        return ("nothing said",)
    differing = (Counter(a.items) - Counter(b.items)) + (Counter(b.items) - Counter(a.items))
    bare = Counter(item.partition(" ")[0] for item in differing)
    names = {name_of(item, is_form=bare[item.partition(" ")[0]] > 1) for item in differing}
    if not names and a.items != b.items:
        names.add("order")
    # In no language for certain only the very words agree, whichever it is.
    if a.language and b.language and a.language != b.language:
        names.add("language")
    return tuple(sorted(names))


def name_of(item: str, *, is_form: bool) -> str:
    """The facet of an item, in words.

    Args:
        item: It.
        is_form: The other text has the word in another form.
    """
    if is_form and item[0] == "w":
        return "number of things" if "plural" in item else "tense"
    return "direction" if item[2:].partition(" ")[0] in DIRECTIONS else NAMES[item[0]]


def encoded(facets: Facets) -> str:
    """The facets as text to keep with an answer."""
    return json.dumps([VERSION, facets.language, *facets.items], ensure_ascii=False, separators=(",", ":"))


def decoded(text: str) -> Facets | None:
    """The facets of such a text; None if it is broken or of another version, and then nothing agrees."""
    try:
        version, language, *items = json.loads(text)
    except (ValueError, TypeError):
        return None
    is_ours = version == VERSION and all(isinstance(value, str) for value in (language, *items))
    is_ours = is_ours and all(item[:1] in NAMES and item[1:2] == ":" for item in items)
    return Facets(language=language, items=tuple(items)) if is_ours else None
