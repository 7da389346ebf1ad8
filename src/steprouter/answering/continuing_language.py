"""Which language a text is in: cheaply, and only where it is sure.

By script where one language has it to itself, else by the commonest small words. No library: the good ones weigh
megabytes, and langdetect is random and untyped, for a choice that costs little when it falls back to English.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

LOOKED_AT_CHARS = 4_000
"""So much of the end of a text is looked at."""

FEWEST_WORDS = 3
"""Fewer small words prove nothing."""

MARGIN = 1.5
"""So many times more small words than the next language has; a word of several languages is shared among them."""

CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
MARKS = ".,:;!?…\"'()[]{}*_«»“”„¿¡।،؛؟"

SCRIPTS = {
    "ja": "\u3041-\u3096\u30a1-\u30fa",
    "ko": "\uac00-\ud7a3",
    "han": "\u4e00-\u9fff\u3400-\u4dbf",
    "th": "\u0e01-\u0e5b",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "he": "\u05d0-\u05ea",
    "ta": "\u0b80-\u0bff",
    "devanagari": "\u0900-\u0963\u0966-\u097f",
    "bengali": "\u0980-\u09ff",
    "arabic": "\u0620-\u06ff",
    "cyrillic": "\u0400-\u04ff",
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
}
LETTERS = {script: re.compile(f"[{span}]") for script, span in SCRIPTS.items()}

TRADITIONAL = re.compile("[們這個來說時會為國過對學發無與從還進開關問題應該請實現點樣將經電]")
SIMPLIFIED = re.compile("[们这个来说时会为国过对学发无与从还进开关问题应该请实现点样将经电]")
"""Common characters that are written differently; the few that are not cancel out."""

SMALL_WORDS = {
    "latin": {
        "en": "the and of to is in that it you for with are this not be have from was your which",
        "es": "el los las una del que y es por con para se lo como más pero su esta este donde muy no tu hay fue",
        "pt": "o os as uma do da que e não em para com se por mais como você são ao seu foi tua dos das isso no na",
        "fr": "le les des une du et est que pour dans qui ne pas sur vous avec ce sont au il elle",
        "de": "der die das und ist nicht ein eine zu den mit von auf für sich dem auch sie werden wie",
        "it": "il gli una che di è per non con sono del della le si più come questo anche ma nel",
        "nl": "de het een van en is niet dat op te voor met zijn ook aan bij naar wordt er maar was over wat ik je als",
        "pl": "i w nie na się z do że to jest jak o co tak po czy dla ale przez od są",
        "ro": "și în nu de la cu este un o pe care din sunt să mai pentru ce sau ca dar",
        "tr": "ve bir bu için ile da de olarak çok daha gibi ne mi ama değil var olan sonra en her",
        "vi": "là của và có không được cho một người trong này với các những để khi đã từ bạn như",
        "id": "yang dan di ini itu dengan untuk tidak dari dalam akan pada adalah ke karena ada juga atau kamu saya",
        "cs": "a je se na v že to s z do pro jsem není jako ale by když jsou nebo tak jsi kde co ho nic",
        "sv": "och att det är som en på för med inte den av till jag du ett har om var men",
        "da": "og at det er en på for med ikke den af til jeg du et har som var men "
        "hvad blev bliver efter meget kun mig dig hvor",
        "nb": "og å det er en på for med ikke den av til jeg du et har som var men "
        "hva ble blir etter mye bare meg deg noe der",
        "fi": "ja on ei se että oli hän mutta kun niin ovat joka tämä myös kuin mitä voi sen ole jos",
        "hu": "a az és hogy nem egy is ez van meg de ha csak vagy mint volt már el azt",
    },
    "cyrillic": {
        "ru": "и в не на что с это как по но из у за от для так же он она бы был если все только его мы ты с ни",
        "uk": "і в не на що з це як та по але із у за від для так він вона є був якщо або про",
        "bg": "и в не на че с това как по но от за са е се да той тя беше ако или ще като си го ти",
    },
    "arabic": {
        "ar": "في من على إلى أن هذا هذه التي الذي ما لا هو هي كان مع عن كل أو لم قد",
        "fa": "و در به از که این را با است برای آن یک می تا هم بر های شما اما نیست",
        "ur": "کے کی میں ہے اور سے کا کو پر یہ ہیں نے وہ کہ بھی ایک نہیں تھا",
    },
    "devanagari": {
        "hi": "के का की है में से को और पर यह हैं ने नहीं कि एक भी लिए था वह आप",
        "mr": "आहे आणि या मध्ये हे की ते नाही होते तर हा ही असे आहेत मी काय",
        "ne": "छ र को मा हो यो छन् भने गर्न पनि छैन थियो तर हुन्छ",
    },
    "bengali": {"bn": "এবং এই করে না থেকে জন্য হয় একটি ও তার যে কি আমি আপনি সে", "as": "আৰু এই কৰে পৰা বাবে হয় এটা"},
}
"""The commonest words that are small. Languages that nobody is addressed in (Urdu, Marathi …) are there so that they
are not taken for others."""

OWN_LETTERS = {
    "latin": {
        "es": "ñ", "pt": "ãõ", "de": "ß", "pl": "łąęśźż", "ro": "șț", "tr": "ğı", "cs": "ěřů", "hu": "őű",
        "vi": "ơưạảấầậếềệịọộớờợụủứừựữ",
    },
    "cyrillic": {"ru": "ыэё", "uk": "іїєґ"},
    "arabic": {"ur": "ٹڈڑںے"},
}  # fmt: skip
"""Letters that no other of these languages has; a word with one counts like a small word."""

SPEAKERS = {
    script: {
        word: tuple(name for name, words in languages.items() if word in words.split())
        for each in languages.values()
        for word in each.split()
    }
    for script, languages in SMALL_WORDS.items()
}
"""By script, the languages that have a word."""


def language_of(text: str) -> str | None:
    """The language of a text as BCP 47 has it; None where it is not sure. Code and addresses do not count."""
    prose = CODE.sub(" ", text[-LOOKED_AT_CHARS:])
    counts = {script: len(found.findall(prose)) for script, found in LETTERS.items()}
    script = max(counts, key=lambda name: counts[name])
    if not counts[script]:
        return None
    if script in ("han", "ja"):
        return chinese_or_japanese(prose, counts)
    if counts["ja"] > counts["han"]:
        return "ja"
    return by_words(prose, script) if script in SPEAKERS else script


def chinese_or_japanese(prose: str, counts: dict[str, int]) -> str:
    """Japanese has kana among its characters; Chinese is told by which of two ways of writing it keeps to."""
    if counts["ja"] * 10 > counts["han"]:
        return "ja"
    return "zh-Hant" if len(TRADITIONAL.findall(prose)) > len(SIMPLIFIED.findall(prose)) else "zh"


def by_words(prose: str, script: str) -> str | None:
    """The language whose small words and letters come up most, if by a margin."""
    seen: Counter[str] = Counter()
    weight: dict[str, float] = defaultdict(float)
    letters = OWN_LETTERS.get(script, {})
    for word in prose.lower().split():
        found = list(SPEAKERS[script].get(word.strip(MARKS), ()))
        if not word.isascii():
            found += [language for language, own in letters.items() if not set(own).isdisjoint(word)]
        for language in found:
            seen[language] += 1
            weight[language] += 1 / len(found)  # a word of many languages tells little
    ranked = sorted(weight, key=lambda language: weight[language], reverse=True)
    if not ranked or seen[ranked[0]] < FEWEST_WORDS:
        return None
    return ranked[0] if len(ranked) == 1 or weight[ranked[0]] >= MARGIN * weight[ranked[1]] else None
