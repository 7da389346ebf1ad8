"""Numbers written as words, in the languages whose texts are read."""

from __future__ import annotations

UNITS_AND_TEENS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn zwanzig",
    "fr": "zéro - deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf vingt",
    "es": "cero - dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte",
    "it": "zero - due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove venti",
    "pt": "zero - dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete "
    "dezoito dezenove vinte",
    "nl": "nul - twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien "
    "achttien negentien twintig",
}
"""From nought to twenty. `-` for one where it is the article as well: which is meant cannot be told."""

NUMBER_WORDS = {
    language: {word: str(value) for value, word in enumerate(words.split()) if word != "-"}
    for language, words in UNITS_AND_TEENS.items()
}
NUMBER_WORDS["en"] |= {"dozen": "12"}
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
ORDINALS = {
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "twelfth": 12,
}
"""Not "first" and "second": they say as often "at the beginning" and a length of time."""
LARGEST = 10**12
COUNTING = frozenset().union(*NUMBER_WORDS.values(), TENS, SCALES, ORDINALS)


def counted(tokens: list[str], language: str) -> list[str]:
    """The tokens with numbers for the words that mean them."""
    words = NUMBER_WORDS.get(language, {})
    if COUNTING.isdisjoint(tokens):
        return tokens
    if language != "en":
        return [f"n:{words[token]}" if token in words else token for token in tokens]
    done: list[str] = []
    for token in tokens:
        if token in words:
            add_unit(done, int(words[token]))
        elif token in TENS:
            done.append(f"n:{TENS[token]}")
        elif token in SCALES and done and done[-1][2:].isdecimal() and int(done[-1][2:]) * SCALES[token] < LARGEST:
            done[-1] = f"n:{int(done[-1][2:]) * SCALES[token]}"
        elif token in ORDINALS:
            done.append(f"n:#{ORDINALS[token]}")
        else:
            done.append(token)
    return done


def add_unit(done: list[str], value: int) -> None:
    """Add a number below a hundred: to the tens before it ("twenty-five"), or on its own."""
    before = done[-1] if done else ""
    if 0 < value < 10 and before in {f"n:{tens}" for tens in TENS.values()}:
        done[-1] = f"n:{int(before[2:]) + value}"
    else:
        done.append(f"n:{value}")
