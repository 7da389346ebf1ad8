"""What an English text says, word by word: items in an order that its free turns do not change.

Every word counts except those known to say nothing, so a text about something else, or with one condition more, has
other items. Order counts too: it tells who does what to whom. Free is only what grammar lets move without another
sense: a clause put first, a person and its "can", "status of my order" for "my order status".
"""

from __future__ import annotations

from .english import INSTEAD, LEXICON
from .forms import FORMS, Form, singular
from .vocabulary import words

NEAR = 3
"""Words between a verb of being and the form that belongs to it, at most ("is my order still being shipped")."""

GETTING = words("get gets getting")
HAVING = {"have": "", "has": "", "had": "t:past", "having": ""}
PLURAL, THE_PLURAL = " plural", " plural, if nothing is asked"
"""After an item: "delete the files" is not "delete the file", though "what are the fees" is "what is the fee"."""

ARTICLES = {"the": THE_PLURAL, "a": "", "an": ""}
DETERMINED = words("the my your his her its our their these those")

SUBJECTS = words("p:i p:you p:he p:she p:it p:we p:they")
BEFORE_VERBS = words(
    "to i you we they it he she not can could should would will shall must may might m:must m:can m:should"
)
DOING = words("do does did")
LABELLED = words(
    "plan type class group grade appendix schedule section option hepatitis vitamin series level part model"
)
HOW_I = frozenset({"do", "can", "could", "would", "might"})
PLACES = frozenset({"r:in", "r:on", "r:at"})
ATTRIBUTES = words(
    "w:status w:price w:name w:number w:date w:address w:color w:size w:limit w:version w:balance w:amount w:value "
    "w:fee w:rate w:length w:width w:height w:weight w:title w:owner w:author w:location w:population w:capital "
    "w:symptom w:type w:format w:speed w:duration w:deadline w:hours w:hour w:phone w:cost w:age"
)
"""What somebody's or something's can be told with "of" or with the owner first."""


class Reader:
    """Reads tokens of English into items."""

    __slots__ = (
        "asked",
        "being",
        "front",
        "genitive",
        "helping",
        "is_first",
        "items",
        "plural",
        "sentence",
        "tenses",
        "tokens",
    )

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.items: list[str] = []
        self.tenses: set[str] = set()
        self.being = -NEAR - 1
        self.helping = ""
        self.plural = ""
        self.genitive: tuple[int, int] | None = None
        self.begin()

    def begin(self) -> None:
        """A sentence begins."""
        self.sentence = len(self.items)
        self.front = self.sentence
        self.is_first, self.asked = True, False

    def read(self) -> tuple[str, ...]:
        """The items of all sentences."""
        at = 0
        while at < len(self.tokens):
            at += self.take(at, self.tokens[at])
        self.end(asks=False)
        return finished(self.items, self.tenses)

    def take(self, at: int, word: str) -> int:
        """Read a word; how many were read with it."""
        if (known := LEXICON.get(word)) is not None:
            return self.function_word(at, word, *known)
        if word[1:2] == ":":
            self.add_item(word)
        elif word == ",":
            self.comma()
        elif word in {".", "?"}:
            self.end(asks=word == "?")
        elif word == "!":
            self.asked = True
        elif word in HAVING:
            self.having(at, word)
        elif (form := FORMS.get(word)) is not None:
            self.verb(at, word, form)
        else:
            noun = singular(word)
            self.add(item_of(noun) + (self.plural if noun != word else ""))
        return 1

    def following(self, at: int) -> str:
        """The next word; nothing at the end."""
        return self.tokens[at + 1] if at + 1 < len(self.tokens) else ""

    def add(self, item: str) -> None:
        """Something is said."""
        if self.genitive is not None and item[0] not in "wnxp":
            self.turn_genitive()
        self.items.append(item)
        self.is_first = False

    def add_item(self, item: str) -> None:
        """Something is said that was an item already."""
        if item[0] == "t":
            self.settle_tense()
            self.helping = item[2:]
            return
        if self.is_first and (item[0] in "ri" or item in {"g:without", "c:as"}):
            self.front = -1
        if item[0] == "m" or item == "g:not":
            # "I can" and "can I", "can I not" and "can't I": which it is, is said by what is asked.
            self.add_before(item)
        else:
            self.add(item)
        if item[0] == "q":
            self.asked = True
        if item[0] not in "wx":
            self.plural = ""

    def add_before(self, item: str) -> None:
        """Something is said of a person that was named just before."""
        self.turn_genitive()
        at = len(self.items)
        if at > self.sentence and self.items[at - 1] in SUBJECTS:
            at -= 1
        if item[0] == "m" and at > self.sentence and self.items[at - 1] == "g:not":
            at -= 1
        self.items.insert(at, item)
        self.is_first = False

    def function_word(self, at: int, word: str, part: str, item: str) -> int:
        """Read a word of the lexicon; how many tokens were read with it."""
        if part == "article":
            if word == "a" and self.is_label(at):
                self.add("w:A")
            self.plural = ARTICLES[word]
        elif part == "whose":
            self.add(item)
            self.plural = PLURAL
            self.asked = self.asked or word == "whose"
        elif part in {"verb of being", "opening"}:
            self.opening(at, word, part, item)
        elif part == "asking":
            return self.asking(at, word, item)
        elif item:
            return self.relation(at, word, item)
        return 1

    def is_label(self, at: int) -> bool:
        """Whether "a" names one of several, as in "hepatitis a", and is no article."""
        after = self.following(at)
        part, item = LEXICON.get(after, ("", ""))
        is_last = after in {"", ",", ".", "?"} or part in {"verb of being", "opening"} or item[:2] == "r:"
        return is_last or (at > 0 and self.tokens[at - 1] in LABELLED)

    def opening(self, at: int, word: str, part: str, item: str) -> None:
        """Read a verb that makes a question where a sentence begins with it."""
        if word in DOING and self.is_deed(at):
            self.add("w:do" + (f" {item[2:]}" if item else ""))
            return
        if self.is_first and word != "be" and not (word == "do" and self.following(at) == "not"):
            self.add_item("q:whether")
        if part == "verb of being":
            self.being = at
        self.plural = ""
        if item:
            self.add_item("t:was" if part == "verb of being" else item)

    def asking(self, at: int, word: str, item: str) -> int:
        """Read what is asked for; how many tokens were read with it."""
        after = self.following(at)
        if self.is_first and word == "when" and after not in LEXICON_OPENINGS:
            self.front = -1
        if word == "how":
            self.add_item("q:how")
            return 1 + self.passed_over(at)
        if word in {"what", "which"} and after in {"is", "are"}:
            thing = self.following(at + 1)
            is_defined = thing in {"a", "an"} or (thing not in LEXICON and thing[1:2] != ":")
            self.add_item("q:what_is" if is_defined else item)
        else:
            self.add_item(item)
        return 1

    def passed_over(self, at: int) -> int:
        """How many tokens after "how" only say that the asker wants to do it."""
        after, second = self.following(at), self.following(at + 1)
        if after == "to":
            return 1
        if after in HOW_I and second in {"i", "n:1"}:
            return 2
        if after == "i":
            return 2 if second in HOW_I else 1
        return 1 if after in {"can", "could"} and second in {"you", "we"} else 0

    def relation(self, at: int, word: str, item: str) -> int:
        """Read a word that relates, counts, denies, compares or points to somebody."""
        after = self.following(at)
        if word == "to" and FORMS.get(after, ("", ""))[1] == "base":
            return 1
        if word == "of" and self.items:
            if self.items[-1][0] == "s" or (self.items[-1][0] == "n" and after in DETERMINED):
                return 1
            if self.items[-1].partition(" ")[0] in ATTRIBUTES:
                self.genitive = (self.head(), len(self.items))
                return 1
        if item in PLACES and after[1:2] != ":" and LEXICON.get(after, ("", ""))[1][:1] != "d":
            item = "r:in"
        self.add_item(item)
        if item in {"s:this", "s:these", "s:those", "s:same"}:
            self.plural = PLURAL
        return 1

    def having(self, at: int, word: str) -> None:
        """Read "have": of something, or of the past."""
        told = (FORMS.get(word) for word in self.tokens[at + 1 : at + 2 + NEAR])
        is_past = "been" in self.tokens[at + 1 : at + 2 + NEAR] or any(form and form[1] == "past" for form in told)
        if self.is_first and is_past:
            self.add_item("q:whether")
        if HAVING[word] or is_past:
            self.add_item("t:past")
        if not is_past:
            self.plural = ""
            self.add("w:have")

    def verb(self, at: int, word: str, form: Form) -> None:
        """Read a form of a verb, and what it says of time."""
        lemma, told = form
        before = self.tokens[at - 1] if at else ""
        part = LEXICON.get(before, ("", ""))
        describes = part[0] in {"article", "whose"} or part[1][:1] in {"r", "s", "c"}
        if before in GETTING and told == "past" and self.items and self.items[-1] == "w:get":
            self.items.pop()
            self.being = at
        if before == "to":
            # Of "what is the process for registering" only "how to" is left before it.
            told = " done" * (told == "past")
        elif describes:
            told = {"past": " done", "ing": " ing"}.get(told, "")
        else:
            told = self.told(at, told)
        self.add(item_of(lemma) + (self.plural if form[1] == "s" else "") + told)

    def told(self, at: int, form: str) -> str:
        """What a form and the verbs that help it say of time, and whether something is done or suffered."""
        is_near = at - self.being <= NEAR
        helping = {"was": "past"}.get(self.helping, self.helping)
        if form == "past":
            self.helping = ""
            return f" passive {helping}".rstrip() if is_near else " past"
        if form == "ing":
            if is_near:
                self.helping = ""
            return f" ongoing {helping}".rstrip() if is_near else " ing"
        if self.helping in {"", "was"}:
            return ""
        self.helping = ""
        return f" {helping}"

    def settle_tense(self) -> None:
        """What helped no verb is said of the whole."""
        if self.helping:
            self.tenses.add("t:past" if self.helping == "was" else f"t:{self.helping}")
            self.helping = ""

    def is_deed(self, at: int) -> bool:
        """Whether "do" is what is done, and not a helping verb."""
        after, before = self.following(at), self.tokens[at - 1] if at else ""
        return (
            after in {"", ",", ".", "?"} or LEXICON.get(after, ("", " "))[1][:1] in {"r", "i"} or before in BEFORE_VERBS
        )

    def comma(self) -> None:
        """After a clause put first the sentence proper begins."""
        self.end_denial()
        if self.front == -1 and len(self.items) > self.sentence:
            self.turn_genitive()
            self.front = len(self.items)
            self.is_first = True
        self.plural = ""

    def end(self, *, asks: bool) -> None:
        """A sentence ends."""
        self.settle_tense()
        self.end_denial()
        self.turn_genitive()
        front = self.items[self.sentence : max(self.front, self.sentence)]
        main = self.items[self.sentence + len(front) :]
        if asks and not self.asked and (front or main):
            main.insert(0, "q:whether")
        self.items[self.sentence :] = main + front
        self.plural = ""
        self.begin()

    def end_denial(self) -> None:
        """A mark after "no" ends what is denied: "no, refunds" are not no refunds."""
        if len(self.items) > self.sentence and self.items[-1][0] == "g" and self.items[-1] != "g:,":
            self.items.append("g:,")

    def head(self) -> int:
        """Where the run of nouns at the end begins, as far as is looked back."""
        start = len(self.items) - 1
        farthest = max(self.sentence, start - NEAR)
        while start > farthest and self.items[start - 1][0] == "w":
            start -= 1
        return start

    def turn_genitive(self) -> None:
        """Put the owner before what is its own."""
        if self.genitive is not None:
            start, end = self.genitive
            self.items[start:] = self.items[end:] + self.items[start:end]
            self.genitive = None


LEXICON_OPENINGS = frozenset(word for word, (part, _) in LEXICON.items() if part in {"verb of being", "opening"})


def item_of(lemma: str) -> str:
    """The item of a word that names something or says what happens."""
    return f"w:{INSTEAD.get(lemma, lemma)}"


def finished(items: list[str], tenses: set[str]) -> tuple[str, ...]:
    """The items with plurals settled, "what does it cost" as one turn, and what they say of time at the end."""
    is_question = any(item[0] == "q" for item in items)
    settled = [item.replace(THE_PLURAL, "" if is_question else PLURAL) for item in items]
    for asked in (["q:how", "s:much"], ["q:what"]):
        if settled[: len(asked)] == asked and "w:cost" in settled:
            settled[: len(asked)] = ["q:cost"]
            settled.remove("w:cost")
    return (*settled, *sorted(tenses))
