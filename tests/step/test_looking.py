"""What rules have looked at in a conversation: all that a model would be shown."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.step import looking
from steprouter.step.ask import Ask
from steprouter.step.looking import ASKED_CHARACTERS, SEARCHED_CHARACTERS, Looking, PersonalData
from steprouter.step.read import read_step
from steprouter.step.step import Place

MAIL = "ann@example.org"
IBAN = "DE89 3704 0044 0532 0130 00"
KINDS = ("email", "iban", "us_ssn", "date_of_birth")
PNG = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 40


def found(*messages, kinds=KINDS):
    return PersonalData(kinds).in_messages(messages)


def called(**args):
    return AIMessage("", tool_calls=[{"name": "save", "args": args, "id": "1"}])


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage(f"Write to {MAIL}"),
        SystemMessage(f"You work for {MAIL}"),
        ToolMessage(f'{{"to": "{MAIL}"}}', tool_call_id="1"),
        ToolMessage([{"type": "text", "text": f"to {MAIL}"}], tool_call_id="1"),
        AIMessage(f"I wrote to {MAIL}"),
        HumanMessage([{"type": "text", "text": "Write"}, {"type": "text", "text": f"to {MAIL}"}]),
        HumanMessage(["Write", f"to {MAIL}"]),
        AIMessage([{"type": "reasoning", "reasoning": f"They mean {MAIL}"}]),
        AIMessage([{"type": "thinking", "thinking": f"They mean {MAIL}", "signature": "x"}]),
        AIMessage("", additional_kwargs={"reasoning_content": f"They mean {MAIL}"}),
        HumanMessage([{"type": "text-plain", "text": MAIL, "mime_type": "text/plain"}]),
        HumanMessage([{"type": "non_standard", "value": {"deep": [MAIL]}}]),
        HumanMessage("Hello", name=MAIL),
        called(mail={"to": [MAIL]}),
        AIMessage("", invalid_tool_calls=[{"name": "save", "args": f'{{"to": "{MAIL}', "id": "1", "error": None}]),
    ],
    ids=lambda message: message.type,
)
def test_wherever_a_message_holds_it_it_is_found(message):
    assert found(HumanMessage("Hello"), message, HumanMessage("Go on")) == {"email"}


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        (called(ssn=536221234), {"us_ssn"}),
        (called(date_of_birth="3 Mar 1980", to=MAIL), {"date_of_birth", "email"}),
        (HumanMessage("Hello"), set()),
        (HumanMessage(""), set()),
    ],
)
def test_the_name_of_an_argument_is_the_label_of_its_value(message, kinds):
    assert found(message) == kinds


def test_a_label_and_its_value_in_two_messages_are_not_put_together():
    assert found(AIMessage("Your date of birth?"), HumanMessage("3 Mar 1980")) == frozenset()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image", "base64": PNG[22:], "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG[22:]}},
        {"type": "audio", "base64": PNG[22:], "mime_type": "audio/wav"},
        {"type": "file", "file": {"file_data": PNG, "filename": "a.pdf"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
        {"type": "media", "mime_type": "video/mp4", "data": PNG[22:]},
        {"type": "unheard_of", "mime_type": "image/png", "data": PNG[22:]},
        {"type": "container_upload", "file_id": "f"},
    ],
    ids=lambda block: block["type"],
)
def test_what_cannot_be_looked_into_is_an_attachment(block):
    message = HumanMessage([{"type": "text", "text": "What is this?"}, block])
    assert found(message) == {"attachment"}
    assert found(ToolMessage([block], tool_call_id="1")) == {"attachment"}


def test_what_is_text_in_an_attachment_is_looked_at():
    document = {"type": "document", "title": MAIL, "source": {"type": "text", "data": f"IBAN: {IBAN}, due today" * 9}}
    assert found(HumanMessage([document])) == {"attachment", "email", "iban"}


def test_a_prompt_that_is_too_long_to_be_searched_counts_as_holding_every_kind():
    half = HumanMessage("x" * (SEARCHED_CHARACTERS // 2 - 10))
    assert found(half, half, kinds=["email", "iban"]) == frozenset()
    assert found(half, half, half, kinds=["email", "iban"]) == {"email", "iban"}
    assert found(HumanMessage("x" * 10_000_000), kinds=["email"]) == {"email"}


def test_each_message_is_searched_once_however_often_it_is_sent():
    data, searched = PersonalData(KINDS), list[frozenset[str]]()

    class Noting(dict[bytes, frozenset[str]]):
        def __setitem__(self, key, value):
            searched.append(value)
            super().__setitem__(key, value)

    data.known = Noting()
    talk = [HumanMessage(f"Write to {MAIL}"), AIMessage("Done.")]
    assert data.in_messages(talk) == {"email"}
    assert data.in_messages([*talk, HumanMessage("Thanks")]) == {"email"}
    assert searched == [{"email"}, frozenset(), frozenset()]


def test_what_is_remembered_of_messages_is_bounded_and_holds_no_text(monkeypatch):
    monkeypatch.setattr(looking, "REMEMBERED", 10)
    data = PersonalData(KINDS)
    for number in range(35):
        data.in_messages([HumanMessage(f"{MAIL} {number}")])
    assert len(data.known) <= 10
    assert MAIL not in repr(data.known)


def test_lone_surrogates_and_odd_arguments_are_looked_at():
    own = {"to": MAIL}
    own["self"] = own  # type: ignore[assignment]
    assert found(HumanMessage(f"\ud800 {MAIL}"), called(**own)) == {"email"}


def test_a_step_holds_what_is_looked_at_and_nothing_else():
    ask = Ask(messages=(HumanMessage(f"Write to {MAIL} {'x' * 5_000}"), AIMessage("Whom?")))

    def read(looked):
        return read_step(ask, Place(), step_id="s", started_at=0.0, looking=looked)

    assert (read(None).asked, read(None).personal) == ("", None)
    assert (read(Looking()).asked, read(Looking()).personal) == ("", None)
    assert read(Looking(text=True)).asked == ask.messages[0].text
    assert read(Looking(personal=PersonalData(["email"]))).personal == {"email"}
    assert MAIL not in repr(read(Looking(text=True))).replace(repr(read(None).text), "")


def test_of_a_huge_question_the_beginning_is_looked_at():
    ask = Ask(messages=(HumanMessage("a" * 10_000_000),))
    step = read_step(ask, Place(), step_id="s", started_at=0.0, looking=Looking(text=True))
    assert len(step.asked) == ASKED_CHARACTERS
