"""Which questions have another answer tomorrow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.caching.passing import is_time_dependent
from steprouter.caching.plain import LONGEST_CHARS


@pytest.mark.parametrize(
    "text",
    [
        "What's the weather in Rome?",
        "Who is the CEO of Siemens?",
        "What is the latest version of Redis?",
        "Which bus leaves next week?",
        "Is the service down?",
        "Where is my parcel?",
        "What is today's date?",
        "What's the stock price of SAP?",
        "How much is a bitcoin?",
        "What time is it in Tokyo?",
        "Is the pharmacy open on Sunday?",
        "What is the current exchange rate?",
        "Wie wird das Wetter morgen?",
        "Ist die Filiale heute offen?",
        "Quel temps fait-il aujourd'hui ?",
        "¿Qué hora es ahora?",
        "Che tempo fa oggi?",
        "Qual é a cotação atual?",
        "Is de winkel vandaag open?",
        "今天天气怎么样?",
        "какая сегодня погода?",
        "is it open to\u200bday?",
        "IS IT OPEN TODAY?",
    ],
)
def test_a_text_that_speaks_of_the_present_depends_on_time(text):
    assert is_time_dependent(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I reset my password?",
        "What is the capital of Norway?",
        "Can I return an opened item within 30 days?",
        "How do I cancel my order?",
        "Does the lease allow pets?",
        "Wie kann ich meine Karte sperren?",
        "Comment annuler la réservation ?",
        "How do I update my address?",
        "What was the exchange in chapter 2 about?",
    ],
)
def test_a_text_about_what_stays_does_not(text):
    assert not is_time_dependent(text)


def test_a_text_too_long_to_be_read_may_depend_on_time():
    assert is_time_dependent("a" * (LONGEST_CHARS + 1))


@given(st.text(max_size=300))
def test_every_text_can_be_asked_about(text):
    assert is_time_dependent(text) in {True, False}
