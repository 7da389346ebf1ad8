"""What of a history written by one provider another provider's model is shown."""

import copy
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.answering.handover import NO_RESULT, NOT_RUN, Repaired, Speaker, rebuilt, repaired, unable
from steprouter.answering.handover_fit import is_fit

OPENAI = Speaker(provider="openai", model="gpt-5.6")
OTHER_GPT = Speaker(provider="openai", model="gpt-5.6-luna")
CLAUDE = Speaker(provider="anthropic", model="claude-opus-5-5", card="strong")
OTHER_CLAUDE = Speaker(provider="anthropic", model="claude-sonnet-5-5")
GEMINI = Speaker(provider="google_genai", model="gemini-3-pro")
OTHER_GEMINI = Speaker(provider="google_genai", model="gemini-3-flash")
MISTRAL = Speaker(provider="mistralai", model="mistral-large-3")
KIMI = Speaker(provider="moonshotai", model="kimi-k2")
LOCAL = Speaker(provider=None, model="qwen3-8b")
ALL = (OPENAI, OTHER_GPT, CLAUDE, OTHER_CLAUDE, GEMINI, MISTRAL, KIMI, LOCAL)

ASKED = HumanMessage("Weather in Oslo?")
WEATHER = {"type": "tool_call", "name": "weather", "args": {"city": "Oslo"}, "id": "callOslo1"}
RESULT = ToolMessage("4 °C", tool_call_id="callOslo1", name="weather")
LEGAL = {CLAUDE: r"[A-Za-z0-9_-]{1,64}", MISTRAL: r"[A-Za-z0-9]{9}", OPENAI: r"[A-Za-z0-9_-]{1,40}"}


def said(by, content, calls=(), *, card=None, resumed=(), **kwargs):
    """A message as an integration makes it."""
    metadata = {"model_provider": by.provider or "openai_compatible", "model_name": by.model}
    metadata |= kwargs.pop("response_metadata", {})
    if card:
        metadata["steprouter"] = {"model": card, "resumed": list(resumed)}
    return AIMessage(content, tool_calls=list(calls), response_metadata=metadata, **kwargs)


def repair(*messages, to):
    return repaired(tuple(messages), to)


def one(message, to):
    """The only model's message of a short history, as `to` sees it."""
    seen = repair(ASKED, message, *([RESULT] if message.tool_calls else []), to=to)
    return seen.messages[1]


CITED = {"type": "text", "text": "4 °C", "citations": [{"type": "web_search_result_location", "url": "https://y.no"}]}
TOOL_USE = {"type": "tool_use", "id": "callOslo1", "name": "weather", "input": {"city": "Oslo"}}
CHAT = said(OPENAI, "Let me look.", [WEATHER], additional_kwargs={"refusal": None})
RESPONSES = said(
    OPENAI,
    [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA", "index": 0},
        {"type": "text", "text": "Let me look.", "id": "msg_1", "annotations": [], "index": 1},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "callOslo1",
            "name": "weather",
            "arguments": '{"city":"Oslo"}',
        },
    ],
    [WEATHER],
    response_metadata={"id": "resp_1"},
)
RESPONSES_V1 = said(
    OPENAI,
    [{"type": "reasoning", "id": "rs_1", "extras": {}}, {"type": "text", "text": "Let me look."}, WEATHER],
    [WEATHER],
    response_metadata={"output_version": "v1"},
)
THINKING = said(
    CLAUDE,
    [{"type": "thinking", "thinking": "hm", "signature": "SIG"}, {"type": "text", "text": "Let me look."}, TOOL_USE],
    [WEATHER],
)
THINKING_V1 = said(
    CLAUDE,
    [
        {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "SIG"}},
        {"type": "text", "text": "Let me look."},
        WEATHER,
    ],
    [WEATHER],
    response_metadata={"output_version": "v1"},
)
REDACTED = said(CLAUDE, [{"type": "redacted_thinking", "data": "Em"}, {"type": "text", "text": "Let me look."}])
SEARCHED = said(
    CLAUDE,
    [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Oslo"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "Let me look."},
    ],
)
GEMINI_V0 = said(
    GEMINI,
    [{"type": "thinking", "thinking": "hm"}, "Let me look."],
    [WEATHER],
    additional_kwargs={
        "function_call": {"name": "weather", "arguments": '{"city": "Oslo"}'},
        "__gemini_function_call_thought_signatures__": {"callOslo1": "c2ln"},
    },
)
GEMINI_V1 = said(
    GEMINI,
    [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Let me look.", "extras": {"signature": "S"}}],
    response_metadata={"output_version": "v1"},
)
DEEPSEEK = said(
    Speaker(provider="deepseek", model="deepseek-chat"), "Let me look.", additional_kwargs={"reasoning_content": "hm"}
)
UNTAGGED = AIMessage(
    [{"type": "thinking", "thinking": "hm", "signature": "S"}, {"type": "text", "text": "Let me look."}]
)
NATIVE = {
    "Responses' reasoning": (OPENAI, RESPONSES),
    "Responses' reasoning in v1 content": (OPENAI, RESPONSES_V1),
    "Anthropic's thinking": (CLAUDE, THINKING),
    "Anthropic's thinking in v1 content": (CLAUDE, THINKING_V1),
    "redacted thinking": (CLAUDE, REDACTED),
    "server tools": (CLAUDE, SEARCHED),
    "Google's thinking": (GEMINI, GEMINI_V0),
    "Google's reasoning in v1 content": (GEMINI, GEMINI_V1),
    "DeepSeek's reasoning": (Speaker(provider="deepseek", model="deepseek-chat"), DEEPSEEK),
    "an unknown writer's thinking": (None, UNTAGGED),
}


@pytest.mark.parametrize("to", ALL, ids=lambda to: to.model)
@pytest.mark.parametrize("name", NATIVE)
def test_native_blocks_stay_for_their_writer_and_go_for_everybody_else(name, to):
    by, message = NATIVE[name]
    seen = one(message, to)
    if to == by:
        assert seen is message
        return
    assert (seen.content, seen.tool_calls) == ("Let me look.", message.tool_calls)
    assert not {"reasoning_content", "__gemini_function_call_thought_signatures__"} & seen.additional_kwargs.keys()
    assert not {"id", "output_version"} & seen.response_metadata.keys()


@pytest.mark.parametrize("to", ALL, ids=lambda to: to.model)
def test_a_plain_history_is_the_same_object_for_every_model(to):
    history = (SystemMessage("Be brief."), ASKED, CHAT, RESULT, said(OPENAI, "It is 4 °C."), HumanMessage("Thanks"))
    plain = (*history[:2], said(OPENAI, "Hi"), history[-1])
    assert repaired(plain, to).messages is plain
    assert repaired(history, to) == Repaired(messages=history)
    assert repaired(history, to).messages is history


SAME = [
    ("claude-opus-5-5-20260801", "claude-opus-5-5", True),
    ("claude-opus-5-5", "claude-opus-5-5@20260801", True),
    ("gpt-5.6-2026-05-01", "gpt-5.6", True),
    ("models/gemini-3-pro", "gemini-3-pro", True),
    ("claude-sonnet-5-5-latest", "claude-sonnet-5-5-20260801", True),
    ("claude-opus-5-5-20260801", "claude-opus-5-5-20260901", False),
    ("claude-opus-5-5", "claude-opus-5", False),
    ("gpt-5.6", "gpt-5.6-luna", False),
]


@pytest.mark.parametrize(("wrote", "reads", "is_same"), SAME)
def test_a_dated_name_means_the_same_model_as_the_short_one(wrote, reads, is_same):
    by = Speaker(provider="anthropic", model=wrote)
    message = said(by, THINKING.content, [WEATHER])
    assert (one(message, Speaker(provider="anthropic", model=reads)) is message) is is_same


def test_providers_are_known_under_both_of_their_names():
    message = said(Speaker(provider="bedrock_converse", model="m"), [{"type": "reasoning_content"}, {"text": "Hi"}])
    assert one(message, Speaker(provider="amazon_bedrock", model="m")) is message


def test_a_model_behind_an_alias_knows_its_answer_by_its_card():
    message = said(Speaker(provider="anthropic", model="prod-alias"), THINKING.content, [WEATHER], card="strong")
    assert one(message, CLAUDE) is message
    assert one(message, OTHER_CLAUDE).content == "Let me look."


def test_what_one_account_of_openai_keeps_is_not_shown_to_another_with_the_same_model():
    azure = Speaker(provider="azure", model="gpt-5.6", card="azure")
    assert one(said(OPENAI, RESPONSES.content, [WEATHER], card="azure"), azure).content == RESPONSES.content
    assert one(said(OPENAI, RESPONSES.content, [WEATHER], card="openai"), azure).content == "Let me look."


def test_a_claude_under_two_cards_keeps_its_thoughts():
    message = said(CLAUDE, THINKING.content, [WEATHER], card="strong, thinking more")
    assert one(message, CLAUDE) is message


def test_an_answer_that_two_models_wrote_is_nobodys_own():
    message = said(CLAUDE, THINKING.content, [WEATHER], card="strong", resumed=["strong → small"])
    assert one(message, CLAUDE).content == "Let me look."


@pytest.mark.parametrize("to", [OPENAI, GEMINI, LOCAL, OTHER_CLAUDE], ids=lambda to: to.model)
def test_citations_and_item_ids_go_and_the_text_is_not_torn(to):
    message = said(CLAUDE, [{"type": "text", "text": "It is "}, CITED, {"type": "text", "text": "."}])
    assert repair(ASKED, message, to=to).changes == ("citations and item ids dropped",)
    assert one(message, to).content == "It is 4 °C."


def test_media_in_a_foreign_answer_are_left_out_where_models_may_not_have_said_them():
    image = {"type": "image", "base64": "iVBO", "mime_type": "image/png"}
    message = said(GEMINI, [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A cat:"}, image])
    assert one(message, OPENAI).content == "A cat:\n[image left out]\n"
    assert one(message, OTHER_GEMINI).content == [{"type": "text", "text": "A cat:"}, image]


@pytest.mark.parametrize(
    ("extras", "text"),
    [({"refusal": "I cannot help."}, "I cannot help."), ({"audio": {"id": "a1", "transcript": "Four."}}, "Four.")],
)
def test_refusals_and_spoken_words_of_openai_become_text_for_others(extras, text):
    message = said(OPENAI, "", additional_kwargs=extras)
    assert one(message, OPENAI) is message
    assert (one(message, CLAUDE).content, one(message, CLAUDE).additional_kwargs) == (text, {})


MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("to", ALL, ids=lambda to: to.model)
@pytest.mark.parametrize("kind", [SystemMessage, HumanMessage])
def test_cache_marks_stay_for_anthropic_only(kind, to):
    message = kind([{"type": "text", "text": "Long.", **MARK}])
    seen = repair(message, ASKED, to=to)
    if to.provider == "anthropic":
        assert seen.messages[0] is message
    else:
        assert seen.messages[0].content == [{"type": "text", "text": "Long."}]
        assert seen.changes == ("cache marks dropped",)


def test_cache_points_of_bedrock_stay_on_bedrock():
    message = HumanMessage([{"type": "text", "text": "Long."}, {"cachePoint": {"type": "default"}}])
    assert repair(message, to=Speaker(provider="amazon_bedrock", model="m")).messages[0] is message
    for to in (OPENAI, CLAUDE):
        assert repair(message, to=to).messages[0].content == [{"type": "text", "text": "Long."}]


IDS = [
    ("functions.weather:0", KIMI, CLAUDE),
    ("functions.weather:0", KIMI, MISTRAL),
    ("functions.weather:0", KIMI, OPENAI),
    ("c" * 70, LOCAL, CLAUDE),
    ("c" * 70, LOCAL, OPENAI),
    ("call_abc", OPENAI, MISTRAL),
    ("toolu_01A", CLAUDE, MISTRAL),
]


@pytest.mark.parametrize(("id_", "by", "to"), IDS)
def test_tool_ids_are_made_legal_alike_in_call_and_result(id_, by, to):
    call, result = {**WEATHER, "id": id_}, ToolMessage("4 °C", tool_call_id=id_)
    seen = repair(ASKED, said(by, "", [call]), result, to=to)
    new = seen.messages[1].tool_calls[0]["id"]
    assert re.fullmatch(LEGAL[to], new)
    assert seen.messages[2].tool_call_id == new
    assert seen.changes == ("tool id mapped",)


@pytest.mark.parametrize(("id_", "by", "to"), [("functions.weather:0", KIMI, KIMI), ("a1B2c3D4e", MISTRAL, OPENAI)])
def test_tool_ids_stay_for_their_writer_and_where_they_are_legal(id_, by, to):
    history = (ASKED, said(by, "", [{**WEATHER, "id": id_}]), ToolMessage("4 °C", tool_call_id=id_))
    assert repaired(history, to).messages is history


def test_a_mistral_model_on_any_server_gets_ids_of_nine_characters():
    call, result = {**WEATHER, "id": "call_1"}, ToolMessage("4 °C", tool_call_id="call_1")
    seen = repair(ASKED, said(OPENAI, "", [call]), result, to=Speaker(provider=None, model="mistralai/Devstral-Small"))
    assert re.fullmatch(LEGAL[MISTRAL], seen.messages[2].tool_call_id)


def test_an_id_that_a_server_uses_in_every_turn_is_made_unique():
    call, result = {**WEATHER, "id": "call_0"}, ToolMessage("4 °C", tool_call_id="call_0")
    history = (ASKED, said(LOCAL, "", [call]), result, HumanMessage("Now?"), said(LOCAL, "", [call]), result)
    seen = repaired(history, CLAUDE).messages
    assert seen[:4] == history[:4]
    assert seen[4].tool_calls[0]["id"] == seen[5].tool_call_id != "call_0"


def test_a_call_without_an_id_is_given_one_that_lasts():
    message = said(GEMINI, "", [{**WEATHER, "id": None}])
    seen = [repair(ASKED, message, ToolMessage("4 °C", tool_call_id=""), to=to).messages for to in (OPENAI, OPENAI)]
    assert seen[0] == seen[1]
    assert re.fullmatch(LEGAL[OPENAI], seen[0][2].tool_call_id)


@pytest.mark.parametrize("to", ALL, ids=lambda to: to.model)
@pytest.mark.parametrize("after", [(), (HumanMessage("Never mind."),)])
def test_a_call_without_a_result_is_given_an_error(after, to):
    seen = repair(ASKED, CHAT, *after, to=to)
    made = seen.messages[2]
    assert (made.content, made.status, made.name) == (NO_RESULT, "error", "weather")
    assert made.tool_call_id == seen.messages[1].tool_calls[0]["id"]
    assert seen.messages[3:] == after
    assert "results made up for calls without one" in seen.changes


def test_a_result_without_a_call_is_dropped():
    seen = repair(ASKED, RESULT, said(OPENAI, "Hi"), to=CLAUDE)
    assert [m.type for m in seen.messages] == ["human", "ai"]
    assert seen.changes == ("results without a call dropped",)


def test_a_late_result_is_put_next_to_its_call():
    seen = repair(ASKED, CHAT, HumanMessage("Hurry"), RESULT, to=OPENAI)
    assert seen.messages == (ASKED, CHAT, RESULT, HumanMessage("Hurry"))
    assert seen.changes == ("tool results put next to their calls",)


def test_the_result_of_a_native_kind_of_call_stays_with_its_writer():
    call = {"type": "computer_call", "id": "cu_1", "call_id": "call_9", "action": {"type": "screenshot"}}
    shot = ToolMessage("…", tool_call_id="call_9", additional_kwargs={"type": "computer_call_output"})
    history = (ASKED, said(OPENAI, [call]), shot)
    assert repaired(history, OPENAI).messages is history
    assert repaired(history, CLAUDE).messages == (ASKED,)


def broken(**kwargs):
    call = {"type": "invalid_tool_call", "name": "weather", "args": '{"city": "Os', "id": "callOslo1", "error": "x"}
    return said(OPENAI, "Let me look.", invalid_tool_calls=[{**call, **kwargs}])


@pytest.mark.parametrize("to", [OPENAI, CLAUDE, GEMINI, LOCAL], ids=lambda to: to.model)
def test_a_broken_call_becomes_a_valid_pair_for_every_model(to):
    seen = repair(ASKED, broken(), HumanMessage("Go on"), to=to)
    call, result = seen.messages[1], seen.messages[2]
    assert (call.tool_calls, call.invalid_tool_calls) == ([{**WEATHER, "args": {}}], [])
    assert (result.content, result.tool_call_id, result.status) == (NOT_RUN, "callOslo1", "error")


def test_a_broken_call_keeps_the_result_it_was_given():
    assert repair(ASKED, broken(), RESULT, to=GEMINI).messages[2] is RESULT


def test_a_broken_call_without_a_name_is_left_out():
    seen = repair(ASKED, broken(name=None), to=OPENAI).messages[1]
    assert (seen.content, seen.tool_calls, seen.invalid_tool_calls) == ("Let me look.", [], [])


EMPTY = {
    "nothing": said(OPENAI, ""),
    "no blocks": said(CLAUDE, []),
    "white space": said(OPENAI, " \n"),
    "white space in a block": said(CLAUDE, [{"type": "text", "text": "\n\n"}]),
    "thinking only": said(CLAUDE, [{"type": "thinking", "thinking": "hm", "signature": "S"}]),
    "reasoning only": said(OPENAI, [{"type": "reasoning", "id": "rs_1", "summary": []}]),
}


@pytest.mark.parametrize("to", [OPENAI, CLAUDE, GEMINI, LOCAL], ids=lambda to: to.model)
@pytest.mark.parametrize("name", EMPTY)
def test_a_models_message_that_says_nothing_is_dropped(name, to):
    seen = repair(ASKED, EMPTY[name], HumanMessage("Hello?"), to=to)
    assert seen.messages == (ASKED, HumanMessage("Hello?"))
    assert "empty message dropped" in seen.changes


def test_answers_in_a_row_become_one():
    seen = repair(ASKED, said(CLAUDE, "It is"), said(OPENAI, "4 °C."), said(OPENAI, "", [WEATHER]), RESULT, to=GEMINI)
    assert [m.type for m in seen.messages] == ["human", "ai", "tool"]
    assert (seen.messages[1].content, seen.messages[1].tool_calls) == ("It is\n\n4 °C.", [WEATHER])
    assert seen.changes == ("messages in a row merged (2)",)


def test_answers_of_two_named_agents_stay_two():
    history = (ASKED, said(OPENAI, "4 °C.", name="anna"), said(OPENAI, "Cold.", name="bert"))
    assert repaired(history, LOCAL).messages is history


LATE = (SystemMessage("Be brief."), SystemMessage("Be kind."), ASKED, SystemMessage("It is Monday."))


@pytest.mark.parametrize("to", ALL, ids=lambda to: to.model)
def test_a_late_system_message_stays_only_where_it_is_taken(to):
    seen = repaired(LATE, to)
    if to.provider == "openai":
        assert seen.messages is LATE
    else:
        late = HumanMessage("<system_message>\nIt is Monday.\n</system_message>")
        assert seen == Repaired(messages=(*LATE[:3], late), changes=("late system message said by the user",))


def test_a_claude_that_takes_late_system_messages_gets_them_between_words_and_answers():
    to = Speaker(provider="anthropic", model="m", late_system=True)
    assert repaired(LATE, to).messages is LATE
    answered = (*LATE, said(OPENAI, "Hi"))
    assert repaired(answered, to).messages is answered
    for history in ((*LATE, HumanMessage("Hi")), (ASKED, said(OPENAI, "Hi"), LATE[-1])):
        assert repaired(history, to).changes == ("late system message said by the user",)


def test_openai_takes_late_system_messages_anywhere_unless_it_is_known_not_to():
    history = (*LATE, HumanMessage("Hi"))
    for late_system in (None, True):
        assert repaired(history, Speaker(provider="openai", model="m", late_system=late_system)).messages is history
    assert repaired(history, Speaker(provider="openai", model="m", late_system=False)).changes


def test_a_late_system_message_keeps_its_blocks_as_words_of_the_user():
    blocks = (ASKED, SystemMessage([{"type": "text", "text": "It is Monday."}]))
    assert repaired(blocks, CLAUDE).messages[1].content[1] == {"type": "text", "text": "It is Monday."}


@pytest.mark.parametrize(("to", "name"), [(OPENAI, "John_Doe"), (LOCAL, "John_Doe"), (CLAUDE, "John Doe")])
def test_a_name_is_made_acceptable_where_it_is_sent(to, name):
    assert repair(HumanMessage("Hi", name="John Doe"), to=to).messages[0].name == name


RESULTS_INSIDE = HumanMessage(
    [
        {"type": "tool_result", "tool_use_id": "callOslo1", "content": "no such city", "is_error": True},
        {"type": "text", "text": "Go on"},
    ]
)


@pytest.mark.parametrize("to", [OPENAI, CLAUDE, GEMINI, LOCAL], ids=lambda to: to.model)
def test_results_and_calls_in_anthropics_shape_become_messages(to):
    written = AIMessage([{"type": "text", "text": "Let me look."}, TOOL_USE])
    seen = repair(ASKED, written, RESULTS_INSIDE, to=to).messages
    assert (seen[1].content, seen[1].tool_calls) == ("Let me look.", [WEATHER])
    assert (seen[2].content, seen[2].tool_call_id, seen[2].status) == ("no such city", "callOslo1", "error")
    assert seen[3].content == [{"type": "text", "text": "Go on"}]
    assert len(repair(ASKED, written, HumanMessage(RESULTS_INSIDE.content[:1]), to=to).messages) == 3


STARTED = (ASKED, CHAT, RESULT)
LOOP_OF_CLAUDE = (ASKED, THINKING, RESULT)
UNABLE = [
    ("another model's loop", STARTED, CLAUDE, True, "a tool loop that was begun by gpt-5.6"),
    ("another Claude's loop", (ASKED, THINKING, RESULT), OTHER_CLAUDE, True, "begun by claude-opus-5-5"),
    ("an unknown model's loop", (ASKED, AIMessage("", tool_calls=[WEATHER]), RESULT), CLAUDE, True, "an unknown model"),
    ("its own, begun without thinking", (ASKED, said(CLAUDE, [TOOL_USE], [WEATHER]), RESULT), CLAUDE, True, "thoughts"),
    ("words put into its mouth", (ASKED, said(OPENAI, "It is")), CLAUDE, True, "partial answer"),
    ("its own loop", (ASKED, THINKING, RESULT), CLAUDE, True, None),
    ("its own loop in v1 content", (ASKED, THINKING_V1, RESULT), CLAUDE, True, None),
    ("a later round of its own loop", (*LOOP_OF_CLAUDE, *STARTED[1:]), CLAUDE, True, None),
    (
        "a loop that another began and it went on with",
        (*STARTED, *LOOP_OF_CLAUDE[1:]),
        CLAUDE,
        True,
        "begun by gpt-5.6",
    ),
    ("a loop that has ended", (*STARTED, said(OPENAI, "4 °C"), HumanMessage("And now?")), CLAUDE, True, None),
    ("no model has spoken", (ASKED,), CLAUDE, True, None),
    ("it does not think", STARTED, CLAUDE, False, None),
    ("it is no Claude", STARTED, GEMINI, True, None),
    ("a Claude elsewhere", STARTED, Speaker(provider="bedrock", model="eu.anthropic.claude-opus"), True, "tool loop"),
]


@pytest.mark.parametrize(("history", "to", "thinking", "why"), [row[1:] for row in UNABLE], ids=[r[0] for r in UNABLE])
def test_a_thinking_claude_cannot_enter_a_loop_it_did_not_begin(history, to, thinking, why):
    given_why = unable(history, to, thinking=thinking)
    assert given_why is None if why is None else why in given_why  # type: ignore[operator]


IDENTIFIERS = st.sampled_from(["call_0", "call_1", "functions.x:0", "toolu_01A", "a1B2c3D4e", "", None, "é" * 50])
BLOCKS = st.sampled_from(
    [
        *RESPONSES.content,
        *THINKING.content,
        *SEARCHED.content,
        *GEMINI_V1.content,
        "plain",
        {"type": "text", "text": ""},
    ]
)
CONTENT = st.one_of(st.sampled_from(["", " ", "Hi", "Let me look."]), st.lists(BLOCKS, max_size=4))
CALLS = st.lists(IDENTIFIERS.map(lambda id_: {**WEATHER, "id": id_}), max_size=3)
BROKEN = st.lists(IDENTIFIERS.map(lambda id_: {**broken().invalid_tool_calls[0], "id": id_}), max_size=1)
BY_MODEL = st.builds(
    lambda by, content, calls, bad, name: said(by, content, calls, invalid_tool_calls=bad, name=name),
    st.sampled_from(ALL), CONTENT, CALLS, BROKEN, st.sampled_from([None, None, "an na"]),
)  # fmt: skip
OTHERS = st.one_of(
    IDENTIFIERS.map(lambda id_: ToolMessage("4 °C", tool_call_id=id_ or "")),
    st.sampled_from(
        [ASKED, SystemMessage("Be brief."), RESULTS_INSIDE, HumanMessage([{"type": "text", **MARK, "text": ""}])]
    ),
)
HISTORIES = st.lists(st.one_of(BY_MODEL, OTHERS), max_size=8).map(tuple)


@settings(max_examples=150)
@given(HISTORIES, st.sampled_from(ALL))
def test_repairing_twice_changes_nothing_more_and_never_the_input(history, to):
    before = copy.deepcopy(history)
    once = repaired(history, to)
    assert history == before
    assert repaired(once.messages, to).messages is once.messages
    assert bool(once.changes) is (once.messages is not history)


@settings(max_examples=150)
@given(HISTORIES, st.sampled_from(ALL))
def test_each_call_is_followed_by_its_one_result_after_repair(history, to):
    waiting, native = [], []
    for message in repaired(history, to).messages:
        if isinstance(message, ToolMessage):
            (waiting if message.tool_call_id in waiting else native).remove(message.tool_call_id)
        else:
            assert waiting == []
            waiting = [call["id"] for call in getattr(message, "tool_calls", ())]
            native = [b["call_id"] for b in message.content if isinstance(b, dict) and "call_id" in b]
            assert not getattr(message, "invalid_tool_calls", ())
    assert waiting == []


@settings(max_examples=150)
@given(HISTORIES, st.sampled_from(sorted(LEGAL, key=str)))
def test_ids_of_other_models_are_legal_and_come_once(history, to):
    foreign = tuple(m for m in history if m.response_metadata.get("model_name") != to.model)
    ids = [call["id"] for m in repaired(foreign, to).messages for call in getattr(m, "tool_calls", ())]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(LEGAL[to], id_) for id_ in ids)


@settings(max_examples=150)
@given(HISTORIES, st.sampled_from(ALL))
def test_a_history_that_grows_by_a_turn_keeps_what_was_sent_before(history, to):
    sent, later = repaired(history, to).messages, repaired((*history, HumanMessage("Next?")), to).messages
    assert later == (*sent, HumanMessage("Next?"))


@settings(max_examples=150)
@given(HISTORIES, BY_MODEL, st.sampled_from(ALL))
def test_a_history_that_grows_by_an_answer_and_its_results_keeps_what_was_sent_before(history, answer, to):
    asked = (*history, HumanMessage("Next?"))
    results = tuple(ToolMessage("4 °C", tool_call_id=call["id"] or "") for call in answer.tool_calls)
    sent = repaired(asked, to).messages
    assert repaired((*asked, answer, *results), to).messages[: len(sent)] == sent


@settings(max_examples=300)
@given(HISTORIES, st.sampled_from([*ALL, Speaker(provider="anthropic", model="m", late_system=True)]))
def test_what_the_quick_look_lets_pass_a_repair_leaves_as_it_is(history, to):
    if is_fit(history, to):
        assert rebuilt(history, to).messages is history


@pytest.mark.parametrize("by", [OPENAI, CLAUDE, LOCAL], ids=lambda by: by.model)
def test_the_quick_look_knows_a_usual_history_of_the_reader_itself(by):
    content = {CLAUDE: THINKING.content, OPENAI: RESPONSES.content}.get(by, "Let me look.")
    loop = (said(by, content, [WEATHER]), RESULT, said(by, [{"type": "text", "text": "4 °C"}]), HumanMessage("Thanks"))
    assert is_fit((SystemMessage("Be brief."), ASKED, *loop), by)
