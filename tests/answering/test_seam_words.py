"""What is shown ends with a whole word, and is never far behind what was said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.answering.continuing_language import language_of
from steprouter.answering.continuing_phrases import PHRASES
from steprouter.answering.seam_overlap import borders
from steprouter.answering.seam_preambles import preamble_chars
from steprouter.answering.seam_words import LONGEST_HELD_CHARS, Words


def shown(*pieces):
    words = Words()
    return [words.feed(piece) for piece in pieces], words.held


@pytest.mark.parametrize(
    ("pieces", "given", "held"),
    [
        ([" one", " two", " th", "ree"], ["", " one", " two", ""], " three"),
        (["one\n", "\n", "two"], ["one", "", ""], "\n\ntwo"),
        (["line\n    ", "return x"], ["line", "\n    return"], " x"),
        (["路由", "器 and", " more"], ["路由", "器", " and"], " more"),
        (["你好\ufffd"], ["你好"], "\ufffd"),
        (["Team 👩\u200d", "💻 met"], ["Team", " 👩\u200d💻"], " met"),
        (["", "a"], ["", ""], "a"),
    ],
)
def test_a_word_is_shown_once_something_follows_it(pieces, given, held):
    assert shown(*pieces) == (given, held)


def test_a_long_address_is_cut_after_one_of_its_marks():
    given, held = shown("see https://example.org/notes/2026/", "november/twenty-third/resu")
    assert given == ["see", " https://example.org/notes/2026/november/twenty-third/"]
    assert held == "resu"


def test_a_long_word_without_marks_is_shown_as_it_comes():
    assert shown("a" * 30, "b" * 30)[0] == ["", "a" * 30 + "b" * 30]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet=st.sampled_from("ab \n.é猫ก👍\u200d/"), max_size=30)))
def test_nothing_is_lost_and_little_is_held(pieces):
    words, seen = Words(), ""
    for piece in pieces:
        seen += words.feed(piece)
        assert len(words.held) <= LONGEST_HELD_CHARS
    assert seen + words.rest() == "".join(pieces)
    assert words.held == ""


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab", max_size=30), st.text(alphabet="ab", max_size=30))
def test_borders_are_all_the_ends_that_are_beginnings(before, after):
    expected = [n for n in range(min(len(before), len(after)), 0, -1) if before.endswith(after[:n])]
    assert borders(before, after) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Continuing education is good. It pays.",
        "I will continue to love you. Always.",
        "Sure, I saw the man. He continued: no.",
        "The rest is silence.",
        "Of course she came, and they went on.",
        "继续教育很重要,因为",
    ],
)
def test_sentences_of_an_answer_are_no_preambles(text):
    assert preamble_chars(text) == 0


@pytest.mark.parametrize(
    "preamble",
    [
        "Sure! Here's the continuation:\n\n", "Continuing from where I left off: ", "Of course!\n\n",
        "Claro, continúo donde me quedé:\n\n", "Natürlich, hier geht es weiter:\n", "Bien sûr, je reprends :\n",
        "Конечно, продолжаю:\n", "好的,我继续:\n\n", "もちろんです。続きです:\n", "다음은 이어지는 내용입니다:\n\n",
    ],
)  # fmt: skip
def test_preambles_are_known_in_many_languages(preamble):
    assert preamble_chars(preamble + "Text.") == len(preamble)


SAMPLES = {
    "en": "The harbour was quiet before dawn and nobody spoke of it.",
    "es": "El puerto estaba tranquilo antes del amanecer y nadie hablaba de lo que había pasado, pero la luz seguía.",
    "pt": "O porto estava calmo antes do amanhecer e ninguém falava do que tinha acontecido, mas a luz não se apagava.",
    "fr": "Le port était calme avant l'aube et personne ne parlait de ce qui est arrivé dans la nuit.",
    "de": "Der Hafen war still vor dem Morgen, und niemand sprach von dem, was in der Nacht geschehen ist.",
    "it": "Il porto era tranquillo prima dell'alba e nessuno parlava di quello che è successo con la barca.",
    "nl": "De haven was stil voor het ochtendgloren en niemand sprak over wat er in de nacht was gebeurd.",
    "pl": "Port był cichy przed świtem i nikt nie mówił o tym, co się stało, ale światło paliło się na dachu.",
    "sv": "Hamnen var tyst före gryningen och ingen talade om det som hade hänt, men ljuset var kvar.",
    "da": "Havnen var stille før daggry, og ingen talte om det, der skete efter midnat; hvor blev båden af?",
    "nb": "Havnen var stille før daggry, og ingen snakket om det som skjedde etter midnatt; hva ble det av deg?",
    "tr": "Liman şafaktan önce sessizdi ve bu gece olan bir şey için kimse çok konuşmadı.",
    "vi": "Bến cảng yên tĩnh trước bình minh và không ai nói về những gì đã xảy ra trong đêm.",
    "id": "Pelabuhan itu sunyi sebelum fajar dan tidak ada yang berbicara dengan orang di dalam kapal.",
    "ru": "Гавань была тиха перед рассветом, и никто не говорил о том, что случилось в эту ночь.",
    "uk": "Гавань була тиха перед світанком, і ніхто не говорив про те, що сталося в цю ніч.",
    "ar": "كان الميناء هادئًا قبل الفجر ولم يتحدث أحد عن ما حدث في هذه الليلة أو في البحر.",
    "fa": "بندر پیش از سپیده آرام بود و کسی از آنچه در این شب رخ داد با ما حرف نزد که بماند.",
    "hi": "भोर से पहले बंदरगाह शांत था और किसी ने भी उस रात की बात नहीं की।",
    "ja": "港は夜明け前で静かだった。",
    "ko": "새벽이 오기 전 항구는 조용했다.",
    "zh": "黎明前的港口很安静,没有人说话。这个灯还亮着。",
    "zh-Hant": "黎明前的港口很安靜,沒有人說話。這個燈還亮著。",
    "th": "ท่าเรือเงียบสงบก่อนรุ่งสาง",
    "he": "הנמל היה שקט לפני עלות השחר.",
    "el": "Το λιμάνι ήταν ήσυχο πριν την αυγή.",
}


@pytest.mark.parametrize("language", SAMPLES)
def test_the_language_of_a_sentence_is_told(language):
    assert language_of(SAMPLES[language]) == language


@pytest.mark.parametrize("text", ["", "42", "```python\nfor the in is: pass\n```", "Lorem ipsum dolor", "so a no"])
def test_a_language_that_is_not_sure_is_not_told(text):
    assert language_of(text) is None


def test_a_language_nobody_is_addressed_in_is_not_taken_for_its_neighbour():
    assert language_of("کے لیے یہ ایک کتاب ہے") == "ur"
    assert language_of("आहे आणि या मध्ये") == "mr"
    assert not {"ur", "mr", "ne", "as"} & PHRASES.keys()


@pytest.mark.parametrize("language", PHRASES)
def test_phrases_have_their_places_to_fill_in_and_ask_in_their_own_language(language):
    phrases = PHRASES[language]
    assert "{fence}" in phrases.in_code
    assert "{tool}" in phrases.call
    assert language_of(" ".join(phrases)) in (language, None)
