"""Which language a text is in, and what in it may be left out. English is read further, the others to the letter."""

from __future__ import annotations

import re

from .counting import NUMBER_WORDS
from .english import LEXICON
from .forms import FORMS
from .vocabulary import words

SMALL_WORDS = {
    "en": "the a an and of to is in that it you for with are this not be have from was your which i my do does did can "
    "how what why when where who will would should could if or on at by me we they there their please any am has had "
    "were been so but as than then about into more most no yes his her our its these those get need want",
    "de": "der die das den dem des ein eine einen einem einer und ist nicht kein keine ich du sie wir ihr mein meine "
    "meinen meiner wie was wer wo wann warum kann können muss zu mit von auf für im am bei nach aus wird werden sind "
    "hat habe an in es er ohne oder wenn ob bitte als auch nur noch bis über unter gibt man viel viele welche welcher",
    "fr": "le la les un une des du de et est ne pas je tu il elle nous vous mon ma mes ton votre vos quel quelle quels "
    "comment quand où qui que quoi pourquoi combien peut puis avec sans pour dans sur au aux en ce cette ces plus ou "
    "si sont ont ai a me se y jamais chez par son sa ses faut",
    "es": "el la los las un una unos de del y es no se yo tu su mi mis sus qué que cómo cuándo dónde quién cuál cuánto "
    "cuánta cuántos puedo puede con sin para por en al como más o si son está están hay me te lo le nunca tengo cual "
    "donde cuando este esta desde hasta a",
    "it": "il lo la gli le i un una uno di del della dei e è non mi si io tu mio mia miei suo che cosa come quando "
    "dove chi quale quanto quanti perché posso può con senza per in su al alla più o se sono ha ho a da nel mai come",
    "pt": "o a os as um uma de do da dos das e é não eu você meu minha meus seu sua que qual como quando onde quem "
    "quanto quantos posso pode com sem para por em no na ao à mais ou se são está estão há me nunca tenho desde até",
    "nl": "de het een van en is niet geen ik je jij u wij zij mijn uw hoe wat wie waar wanneer waarom kan kunnen moet "
    "te met zonder voor op in aan bij naar uit wordt worden zijn heeft heb of als dat dit die deze ook nog tot over er "
    "veel welke mag nooit",
    "other": "i w na się z że to jest jak co och att det som på är inte jag og ikke jeg på ve bir bu için ile mi nasıl "
    "și în nu care ce și să a je se v že jsem není yang dan di ini itu untuk tidak dari hogy az egy nem és ja on ei se "
    "että là của và có không được một ang ng sa",
}
"""The commonest words; a word of several languages counts for each."""

KNOWN: dict[str, frozenset[str]] = {
    language: words(listed).union(NUMBER_WORDS.get(language, ())) for language, listed in SMALL_WORDS.items()
}
FOREIGN = frozenset().union(*(known for language, known in KNOWN.items() if language != "en"))
ENGLISH = frozenset(LEXICON).union(FORMS) - FOREIGN
"""What breaks a tie: a word of English that is none of the commonest elsewhere."""

RUNS = re.compile(r"[^\W\d_]+")

COURTESIES = {
    "de": "bitte danke hallo moin servus guten tag",
    "fr": "bonjour merci svp salut bonsoir",
    "es": "hola gracias buenas",
    "it": "ciao grazie buongiorno salve",
    "pt": "olá oi obrigado obrigada",
    "nl": "hallo hoi alsjeblieft alstublieft bedankt dank",
}
SILENT = {language: words(listed) for language, listed in COURTESIES.items()}
SILENT[""] = words("please hello hi hey thanks").union(*SILENT.values())

ABOUT_WORDS = words(
    "sagt sage sagen sag heißt bedeutet übersetze übersetzen wort schreibt buchstabiert dit dire dis signifie traduire "
    "traduis mot écrit dice decir digo significa traduce traducir palabra escribe dire traduci traduca parola scrive "
    "diz dizer traduza traduzir palavra escreve zeg zegt zeggen betekent vertaal vertalen woord schrijf schrijft say "
    "mean spell translate word"
)
"""With one of these about, a greeting may be what is asked for."""

NEGATIONS = words(
    "nicht kein keine keinen keinem keiner nie niemals ohne nichts niemand weder pas jamais aucun aucune sans rien "
    "personne ni nunca jamás sin nada nadie ningún ninguna ninguno non mai senza niente nessuno nessuna né não sem "
    "nenhum nenhuma ninguém nem niet geen nooit zonder niets niemand noch no ne"
)
"""Of the languages above but English."""


def language_of(text: str) -> str:
    """`en`, `de`, `fr`, `es`, `it`, `pt` or `nl`; empty if none has the most small words in the text.

    Args:
        text: In small letters.
    """
    said = set(RUNS.findall(text))
    if not said & FOREIGN:
        return "en" if said & KNOWN["en"] or (text.isascii() and said & ENGLISH) else ""
    found = {language: len(said & known) for language, known in KNOWN.items()}
    most = max(found.values())
    languages = [language for language, count in found.items() if count == most]
    if len(languages) > 1:
        return "en" if "en" in languages and text.isascii() and said & ENGLISH else ""
    return "" if languages == ["other"] else languages[0]


def read_to_the_letter(tokens: list[str], language: str) -> tuple[str, ...]:
    """The items of a text whose words are not understood: all of them in their order, without greetings and marks.

    A question mark stays, because word order alone does not tell a question everywhere.
    """
    silent = SILENT.get(language, frozenset()) if ABOUT_WORDS.isdisjoint(tokens) else frozenset()
    items = []
    for word in tokens:
        if word[1:2] == ":":
            items.append(word)
        elif word == "?":
            items.append("q:?")
        elif word not in {",", "."} and word not in silent:
            items.append(f"g:{word}" if word in NEGATIONS else f"w:{word}")
    return tuple(items)
