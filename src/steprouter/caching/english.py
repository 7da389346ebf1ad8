"""What English words do in a question, besides naming things."""

from __future__ import annotations

from typing import Literal

from .alike import PHRASES, WORDS
from .courtesies import BEFORE_A_QUESTION, BEFORE_A_REQUEST, GREETINGS, SILENT, SILENT_FIRST
from .vocabulary import entries, pairs, words

Part = Literal["silent", "article", "verb of being", "opening", "item", "asking", "person", "whose"]
"""What a word does.

`silent` says nothing; `article` neither, but tells that a noun comes; `verb of being` and `opening` make a question
where a sentence begins with them; `item` says something of its own wherever it stands, `asking` what is asked.
"""

FUNCTIONS: tuple[tuple[Part, str, str], ...] = (
    ("silent", "", "that"),
    ("article", "", "a an the"),
    ("verb of being", "", "is are am be been"),
    ("verb of being", "t:past", "was were"),
    ("opening", "", "do does"),
    ("opening", "t:past", "did"),
    ("opening", "t:future", "will"),
    ("opening", "m:would", "would"),
    ("opening", "m:can", "can"),
    ("opening", "m:could", "could"),
    ("opening", "m:should", "should"),
    ("opening", "m:must", "must"),
    ("opening", "m:may", "may"),
    ("opening", "m:might", "might"),
    ("opening", "m:shall", "shall"),
    ("asking", "q:what", "what which"),
    ("asking", "q:how", "how"),
    ("asking", "q:why", "why"),
    ("asking", "q:when", "when"),
    ("asking", "q:where", "where"),
    ("asking", "q:who", "who"),
    ("asking", "q:whose", "whose"),
    ("asking", "q:whether", "whether"),
    ("item", "g:not", "not nor non"),
    ("item", "g:no", "no none neither"),
    ("item", "g:never", "never"),
    ("item", "g:without", "without"),
    ("item", "s:nobody", "nobody"),
    ("item", "s:nothing", "nothing"),
    ("item", "i:if", "if"),
    ("item", "i:unless", "unless"),
    ("item", "i:because_of", "because"),
    ("item", "r:or", "or either"),
)
OWN_ITEMS = {
    "p": "i me you he him she her it we us they them one someone somebody anyone anybody myself yourself itself "
    "themselves himself herself ourselves",
    "s": "all any every each both some only except most many few several other another else half much enough "
    "everyone everybody everything anything something always sometimes often usually rarely mostly last next previous "
    "this these those there same such even first second just",
    "c": "more less than most least better best worse worst higher lower cheaper cheapest larger largest "
    "smaller smallest longer longest shorter shortest faster fastest slower slowest older oldest newer newest bigger "
    "earlier earliest later latest highest lowest greater greatest fewer fewest ascending descending as like too very",
    "r": "to from in on at for with about of by over under above below between against into through after before "
    "during since until up down off out around across behind beyond per while whilst although though but versus vs "
    "upon among and inside outside within throughout along past toward towards despite except",
    "g": "unable impossible nowhere hardly barely",
    "d": "now today tonight tomorrow yesterday currently nowadays already still yet anymore soon recently ago again "
    "monday tuesday wednesday thursday friday saturday sunday weekday weekend noon midnight morning afternoon evening "
    "night january february march april june july august september october november december",
}
WHOSE = "my your his its our their whose"

DIRECTIONS = words(
    "enable disable allow deny forbid increase decrease raise reduce lower open close buy sell import export upload "
    "download install uninstall subscribe unsubscribe encrypt decrypt lock unlock block unblock start stop begin end "
    "accept reject decline approve add remove push pull send get borrow lend give take enter exit login logout connect "
    "disconnect deposit withdraw credit debit gain lose win include exclude arrive depart left right up down internal "
    "external public private sync async input output read write attach detach expand collapse compress extract mount "
    "unmount hire fire grant revoke show hide join leave zip unzip pass fail earn spend inbound outbound incoming "
    "outgoing max min horizontal vertical upstream downstream minimise maximise minimize maximize hot cold safe "
    "dangerous legal illegal possible impossible valid invalid paid unpaid upgrade downgrade promote demote"
)
"""Words that have an opposite which is asked about with the same words around it."""


def lexicon() -> dict[str, tuple[Part, str]]:
    """Each word of the tables above -> what it does, and its item if it has one."""
    words: dict[str, tuple[Part, str]] = {}
    for facet, listed in OWN_ITEMS.items():
        words |= {word: ("person" if facet == "p" else "item", f"{facet}:{word}") for word in listed.split()}
    words |= {word: ("whose", f"p:{word}") for word in WHOSE.split()}
    for part, item, listed in FUNCTIONS:
        words |= dict.fromkeys(listed.split(), (part, item))
    return words


Turns = dict[str, list[tuple[list[str], list[str]]]]
"""The first word of a turn -> its other words and what is read instead, the longest first."""


def turns(*entries: tuple[str, str]) -> Turns:
    """Turns by their first word."""
    found: Turns = {}
    for turn, instead in entries:
        first, *others = turn.split()
        found.setdefault(first, []).append((others, instead.split()))
    for listed in found.values():
        listed.sort(key=lambda entry: -len(entry[0]))
    return found


LEXICON = lexicon()
INSTEAD = dict(pairs(WORDS))
TURNS = turns(*pairs(PHRASES), *((turn, "") for turn in entries(SILENT)))
FIRST_TURNS = turns(*((turn, "") for turn in entries(SILENT_FIRST)))
FIRST_WORDS = turns(*((turn, "") for turn in entries(GREETINGS)))
REQUESTS = turns(*((turn, "") for turn in entries(BEFORE_A_REQUEST)))
QUESTIONS = turns(*((turn, "") for turn in entries(BEFORE_A_QUESTION)))
