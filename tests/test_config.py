"""What a configuration file may say, and what is said about mistakes in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.config import RouterConfig, StorePlace, load, load_place
from steprouter.config.document import read_document
from steprouter.config.fields import (
    AbilityFields,
    LessonFields,
    MemoryFields,
    ModelFields,
    PolicyFields,
    PriceFields,
    RouteFields,
    RuleFields,
    TieBreakFields,
)
from steprouter.errors import ConfigError
from steprouter.memory.lessons import Lessons
from steprouter.memory.policy import MemoryPolicy
from steprouter.models.card import Abilities, ModelCard, Price, Tier
from steprouter.routing.policy import Policy
from steprouter.routing.probes import Probes
from steprouter.routing.routes import Route, TieBreak
from steprouter.routing.rules import Rule
from steprouter.step.step import StepKind

KEY = "sk-very-secret-0123456789"
WHOLE = """\
models:
  - name: small
    model: openai:gpt-5.6-luna
    price: {input: 0.2, output: 1.2, dated: 2026-11-22}
  - name: local
    base_url: http://127.0.0.1:8080/v1
    model: qwen
    tier: low
    tools: json_schema
    window_tokens: 8192
    abilities: {images: false}
    api_key: ${LOCAL_KEY}
    headers: {X-Team: "${LOCAL_KEY}"}
    tags: inside
policy:
  reference: small
  kinds: {answer: high}
  nodes: {planner: plan, agent: null}
  rules:
    - {name: pii stays here, keyword: [iban], models: inside}
store: redis://:hunter22@localhost/1
tenant: acme
"""

Load = Callable[..., RouterConfig]
Mistake = Callable[..., str]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Loads a text as a file, with a key in the environment."""

    def load_text(text: str, **environment: str) -> RouterConfig:
        (tmp_path / "steprouter.yaml").write_text(text)
        return load(tmp_path / "steprouter.yaml", environment={"LOCAL_KEY": KEY, **environment})

    return load_text


@pytest.fixture
def mistake(loaded: Load, tmp_path: Path) -> Mistake:
    """The message about a text, without the directory of the test."""

    def message(text: str, **environment: str) -> str:
        with pytest.raises(ConfigError) as caught:
            loaded(text, **environment)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


def test_a_file_gives_cards_policy_and_places_as_frozen_values(loaded: Load) -> None:
    config = loaded(WHOLE)
    price = Price(input=0.2, output=1.2, dated=date(2026, 11, 22))
    assert config.models[0] == ModelCard(name="small", model="openai:gpt-5.6-luna", price=price)
    assert config.policy == Policy(
        rules=(Rule(name="pii stays here", keyword="iban", models="inside"),),
        kinds={StepKind.ANSWER: Tier.HIGH},
        nodes={"planner": StepKind.PLAN, "agent": None},
        reference="small",
    )
    assert (config.store, config.tenant, config.tracing) == ("redis://:hunter22@localhost/1", "acme", True)


def test_keys_come_from_the_environment_and_are_in_no_repr(loaded: Load) -> None:
    config = loaded(WHOLE)
    local = config.models[1]
    assert local.api_key is not None
    assert local.api_key.get_secret_value() == KEY
    assert local.headers["X-Team"].get_secret_value() == KEY
    assert KEY not in repr(config)
    assert "hunter22" not in repr(config)


def test_abilities_and_tags_of_a_model_are_read_as_stated(loaded: Load) -> None:
    local = loaded(WHOLE).models[1]
    assert local.abilities == Abilities(images=False)
    assert (local.tier, local.tools, local.window_tokens) == (Tier.LOW, "json_schema", 8192)
    assert local.tags == {"inside"}


def test_how_a_model_takes_partial_turns_is_read_as_stated(loaded: Load) -> None:
    stated = "abilities: {prefill_with_tools: true}\n    prefill_style: continue_final_message"
    local = loaded(WHOLE.replace("abilities: {images: false}", stated).replace("tools: json_schema", "tools: native"))
    assert local.models[1].prefill_style == "continue_final_message"
    assert local.models[1].abilities == Abilities(prefill_with_tools=True)


def test_environment_variables_win_over_the_file(loaded: Load) -> None:
    config = loaded(WHOLE, STEPROUTER_STORE="memory", STEPROUTER_TENANT="other", STEPROUTER_MODE="observe")
    assert (config.store, config.tenant, config.policy.mode) == ("memory", "other", "observe")


def test_an_empty_environment_variable_leaves_the_file_as_it_is(loaded: Load) -> None:
    assert loaded(WHOLE, STEPROUTER_TENANT="", STEPROUTER_MODE="").tenant == "acme"


def test_a_mode_from_the_environment_is_named_as_such_when_it_is_wrong(mistake: Mistake) -> None:
    said = "environment variable STEPROUTER_MODE: mode must be 'route' or 'observe', got 'watch'"
    assert mistake(WHOLE, STEPROUTER_MODE="watch") == said


def test_the_place_of_traces_is_read_without_the_keys_of_models(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(WHOLE)
    assert load_place(tmp_path / "f.yaml", environment={}) == StorePlace(
        store="redis://:hunter22@localhost/1", tenant="acme"
    )
    assert load_place(None, environment={"STEPROUTER_TENANT": "t"}) == StorePlace(tenant="t")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("price:", "prise:"), "line 4, models[0].prise: unknown field; did you mean 'price'?"),
        (("reference:", "zebra:"), "line 16, policy.zebra: unknown field; known are ['rules', 'kinds', 'nodes', "),
        (("tier: low", "tier: lwo"), "line 8, models[1].tier: must be 'low', 'mid', 'mid_high' or 'high', got 'lwo'"),
        (("{answer: high}", "{anser: high}"), "line 17, policy.kinds.anser: must be 'plan', 'tool_call',"),
        (("8192", "lots"), "line 10, models[1].window_tokens: must be a whole number, got 'lots'"),
        (("8192", "-1"), "line 5, models[1]: window_tokens of 'local' must be more than 0, got -1"),
        (("input: 0.2", "input: -1"), "line 4, models[0].price: price input must be USD per million tokens, 0 or"),
        (("input: 0.2, ", ""), "line 4, models[0].price.input: is missing; it must be given"),
        (("{images: false}", "[images]"), "line 11, models[1].abilities: must be a mapping of fields, got a list"),
        (("low", "low\n    prefill_style: suffix"), "line 9, models[1].prefill_style: must be 'assistant', 'prefix',"),
        (("acme", "no"), "line 22, tenant: must be text, in quotes where YAML would read it otherwise, got False"),
        (("name: local", "name: small"), "line 5, models[1].name: model names must be unique, got 'small' twice"),
        (("http:", "ftp:"), "line 5, models[1]: base_url of 'local' must begin with http:// or https://, got 'ftp"),
        ((", models: inside", ""), "line 20, policy.rules[0]: rule 'pii stays here' must have an effect"),
        (("models: inside", "models: insid"), "line 20, policy.rules[0].models: rule 'pii stays here' names the"),
        (("keyword: [iban]", "kind: chta"), "line 20, policy.rules[0]: rule 'pii stays here' names the unknown kind"),
        (("keyword: [iban]", "node: planer"), "line 20, policy.rules[0].node: rule 'pii stays here' names the"),
        (("reference: small", "reference: smal"), "line 16, policy.reference: reference names the unknown model"),
        (("tenant: acme", "store: memory"), "line 22, store: stands twice, first in line 21; keep one"),
        (("tier: low", "tier: [low"), "line 9, column 10: expected ',' or ']', but got ':'"),
        (("tier: low", "tier: *low"), "line 8, column 11: aliases are not supported; write the value out"),
        (("qwen", "!!python/name:os.system x"), "line 7, column 12: could not determine a constructor for the tag"),
        (("2026-11-22", "2026-13-45"), "line 4, models[0].price.dated: month must be in 1..12"),
        (("${LOCAL_KEY}", "${NO_KEY}"), "line 12, models[1].api_key: the environment variable NO_KEY is not set; set"),
        (("${LOCAL_KEY}", "${no-key}"), "line 12, models[1].api_key: a variable must be written ${NAME}; write $$ for"),
        (('"${LOCAL_KEY}"', "${LOCAL_KEY}"), "line 13, column 24: expected ',' or '}', but got '{'; inside braces"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_and_field(wrong: tuple[str, str], said: str, mistake: Mistake) -> None:
    assert mistake(WHOLE.replace(*wrong, 1)).startswith(f"steprouter.yaml {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "steprouter.yaml line 1: the file must hold fields such as `models:`, got nothing"),
        ("- a", "steprouter.yaml line 1: the file must hold fields such as `models:`, got a list"),
        ("models: []", "steprouter.yaml line 1, models: must not be empty"),
        ("store: memory", "steprouter.yaml line 1, models: is missing; it must be given"),
        ("models: [openai:x]", "steprouter.yaml line 1, models[0]: must be a mapping of fields, got 'openai:x'"),
        ("? [a]\n: b", "steprouter.yaml line 1: the name of a field must be plain text"),
        ("a: \x01", "steprouter.yaml must be YAML text without control characters: unacceptable character #x0001"),
    ],
)
def test_a_file_that_is_no_configuration_says_what_one_looks_like(text: str, said: str, mistake: Mistake) -> None:
    assert mistake(text).startswith(said)


def test_several_mistakes_name_the_first_line_and_how_many_follow(mistake: Mistake) -> None:
    said = mistake(WHOLE.replace("tier: low", "tier: 1").replace("8192", "x").replace("acme", "[]"))
    assert said.startswith("steprouter.yaml line 8, models[1].tier: ")
    assert said.endswith("got 1 (2 more after this one)")


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can be read, got '.*none.yaml': No such file or directory"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"tenant: \xe9")
    with pytest.raises(ConfigError, match=r"latin.yaml must be UTF-8 text: unexpected end of data at byte 8"):
        load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    "wrong",
    [
        ("tier: low", "tier: ${LOCAL_KEY}"),
        ("http://127.0.0.1:8080/v1", "${LOCAL_KEY}"),
        ("tools: json_schema", "tools: ${LOCAL_KEY}"),
        ("8192", "${LOCAL_KEY}"),
        ("reference: small", "reference: ${LOCAL_KEY}"),
        ("api_key: ${LOCAL_KEY}", f"api_key: {KEY}\n    tier: {KEY}"),
        ("api_key: ${LOCAL_KEY}", f"api_key: [{KEY}]"),
        ("api_key: ${LOCAL_KEY}", f"api_kye: {KEY}"),
    ],
)
def test_no_message_holds_a_key_wherever_it_was_written(wrong: tuple[str, str], mistake: Mistake) -> None:
    assert KEY not in mistake(WHOLE.replace(*wrong, 1))


def test_a_long_key_in_the_wrong_field_is_not_shown_in_part(mistake: Mistake) -> None:
    said = mistake(WHOLE.replace("tier: low", "tier: ${LONG_KEY}"), LONG_KEY="sk-" + "q" * 500)
    assert said.endswith("got '${LONG_KEY}'")


def test_a_password_in_a_url_is_masked_in_messages(mistake: Mistake) -> None:
    said = mistake(WHOLE.replace("http://127.0.0.1", "ftp://me:hunter22@host"))
    assert said.endswith("got 'ftp://***@host:8080/v1'")


def test_an_error_carries_no_cause_that_quotes_what_was_masked(loaded: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(WHOLE.replace("tier: low", "tier: ${LOCAL_KEY}"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_doubled_dollar_sign_stands_for_one(loaded: Load) -> None:
    config = loaded(WHOLE.replace("acme", "'$${LOCAL_KEY} costs $$5'"))
    assert config.tenant == "${LOCAL_KEY} costs $5"


def test_names_that_yaml_would_read_as_other_things_stay_text(loaded: Load) -> None:
    config = loaded(WHOLE.replace("{planner: plan, agent: null}", "{no: plan, 1: null, 2026-01-01: chat}"))
    assert set(config.policy.nodes) == {"no", "1", "2026-01-01"}


def test_the_example_in_the_documentation_can_be_loaded(loaded: Load) -> None:
    page = Path(__file__).parents[1] / "docs" / "configuration.md"
    example = page.read_text().split("```yaml\n")[1].split("```")[0]
    config = loaded(example)
    assert [card.name for card in config.models] == ["small", "large", "local"]
    assert config.policy.reference == "large"


def test_memory_is_on_unless_the_file_says_otherwise(loaded: Load) -> None:
    plain = loaded(WHOLE)
    assert plain.memory == MemoryPolicy()
    off = loaded(WHOLE + "memory: {on: false, lessons: {kinds: [extract], tokens: 300, models: small}}\n")
    assert (off.memory.on, off.memory.lessons) == (False, Lessons(kinds=("extract",), tokens=300, models=("small",)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("memory: {lessons: {tokens: 3}}", "tokens of a lesson must be 100 or more"),
        ("memory: {lessons: {models: [huge]}}", "'huge'"),
        ("memory: {embedder: magic}", "memory.embedder"),
        ("memory: {lessons: {kinds: [dance]}}", "memory.lessons.kinds"),
    ],
)
def test_a_mistake_about_memory_is_named_with_its_line(wrong: str, said: str, loaded: Load) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        loaded(WHOLE + wrong + "\n")
    assert ":" in str(error.value)


def test_a_key_for_journals_comes_from_the_environment_and_is_in_no_repr(loaded: Load) -> None:
    config = loaded(WHOLE + "memory: {journal_key: '${LOCAL_KEY}'}\n")
    assert config.memory == MemoryPolicy(journal_key=KEY)
    assert KEY not in repr(config)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("'hunter22'", "the key for journals needs at least 16 characters, got 8"),
        ("'${SHORT_KEY}'", "the key for journals needs at least 16 characters, got 8"),
        ("'${NO_KEY}'", "the environment variable NO_KEY is not set"),
        ("1234567890123456", "must be text, in quotes"),
        ("[hunter22hunter22]", "must be text, in quotes"),
    ],
)
def test_a_key_for_journals_that_is_none_is_named_with_its_line_and_not_shown(
    key: str, said: str, mistake: Mistake
) -> None:
    message = mistake(WHOLE + f"memory:\n  journal_key: {key}\n", SHORT_KEY="hunter22")
    assert message.startswith(f"steprouter.yaml line {WHOLE.count(chr(10)) + 2}, memory.journal_key: {said}")
    assert "hunter22" not in message
    assert "1234" not in message


PAIRS: Mapping[type, type] = {
    ModelFields: ModelCard,
    PriceFields: Price,
    AbilityFields: Abilities,
    RuleFields: Rule,
    RouteFields: Route,
    TieBreakFields: TieBreak,
    PolicyFields: Policy,
    LessonFields: Lessons,
    MemoryFields: MemoryPolicy,
}


@pytest.mark.parametrize("shape", PAIRS)
def test_a_file_can_say_exactly_what_the_values_hold(shape: type[ModelFields]) -> None:
    value = PAIRS[shape]
    routers_own = {"effort"} if value is ModelCard else set()
    assert set(shape.model_fields) == {field.name for field in fields(value)} - routers_own


@given(text=st.text(st.sampled_from("ab:-[]{}#&*!|>'\"%@`$ \n\t0?,~"), max_size=30))
def test_any_text_is_a_document_or_an_error_that_names_the_file(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    said = str(path)
    try:
        read_document(path, {})
    except ConfigError as error:
        said = str(error)
    assert said.startswith(str(path))


def test_a_wrong_field_in_the_only_model_is_named_and_not_an_empty_list(tmp_path):
    """Pydantic counts the models that are right and calls a list without any too short."""
    file = tmp_path / "steprouter.yaml"
    file.write_text("models:\n  - name: small\n    model: openai:gpt-5.6-luna\n    prise: {input: 1}\n")
    with pytest.raises(ConfigError, match=r"line 4, models\[0\].prise: unknown field; did you mean 'price'\?$"):
        load(file)


RULES = r"""
models:
  - {name: far, model: "openai:gpt-5.6-luna", region: us}
  - {name: near, base_url: "http://127.0.0.1:8080/v1", model: qwen, tier: low}
policy:
  rules:
    - {name: data, pii: yes, local_only: true}
    - {name: money, pii: api_key, regions: us}
    - {name: words, regex: '^INV-\d+$', keyword: Invoice, header: {X-Plan: [gold, "!= trial"]}, tier: high}
    - name: depth
      metadata: {depth: ">= 3", on: true, since: 2026-11-01, left: null}
      max_tier: mid
      quality_loss: 0.1
"""


def test_rules_are_read_from_a_file_as_they_are_written_in_python(loaded: Load) -> None:
    plan = ["gold", "!= trial"]
    expected = {"depth": ">= 3", "on": True, "since": date(2026, 11, 1), "left": None}
    assert loaded(RULES).policy.rules == (
        Rule(name="data", pii=True, local_only=True),
        Rule(name="money", pii="api_key", regions="us"),
        Rule(name="words", regex=r"^INV-\d+$", keyword="invoice", header={"x-plan": plan}, tier=Tier.HIGH),
        Rule(name="depth", metadata=expected, max_tier=Tier.MID, quality_loss=0.1),
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("api_key", "[iban, email]"), "line 8, policy.rules[1]: rule 'money' can never match: 'data' stands before"),
        (("us}\n    ", "usa}\n    "), "line 8, policy.rules[1].regions: rule 'money' names the unknown region 'usa'"),
        (("yes", "emial"), "line 7, policy.rules[0]: rule 'data' names the unknown kind of personal data 'emial'"),
        (("yes", "7"), "line 7, policy.rules[0]: pii of rule 'data' must be names, got 7"),
        (("yes", "[7]"), "line 7, policy.rules[0]: pii of rule 'data' must be names, got [7]"),
        ((r"^INV-\d+$", "(?=a)"), "line 9, policy.rules[2]: rule 'words' must have regexes that RE2 can read"),
        (("max_tier: mid", "max_tier: middle"), "line 12, policy.rules[3].max_tier: must be 'low', 'mid', 'mid_high'"),
        (("loss: 0.1", "loss: 2"), "line 10, policy.rules[3]: quality_loss of rule 'depth' must be between 0 and 1"),
        (('">= 3"', '">= x"'), "line 10, policy.rules[3]: metadata 'depth' of rule 'depth' must have a number after"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_named_with_its_line(wrong: tuple[str, str], said: str, mistake: Mistake) -> None:
    assert mistake(RULES.replace(*wrong, 1)).startswith(f"steprouter.yaml {said}")


ROUTES = """
models:
  - {name: far, model: "openai:gpt-5.6-luna", tags: [paid]}
  - {name: near, base_url: "http://127.0.0.1:8080/v1", model: qwen, tier: low}
policy:
  route_margin: 0.1
  routes_in: support
  tie_break: {seconds: 1, models: near}
  routes:
    - {name: billing, examples: [Refund please, "Why was I charged twice?"], threshold: 0.6, models: near}
    - name: code
      examples: [Fix this bug]
      aggregation: top3
      kind: code
      tier: high
      quality_loss: 0
    - {name: stored, models: paid}
"""


def test_routes_are_read_from_a_file_as_they_are_written_in_python(loaded: Load) -> None:
    policy = loaded(ROUTES).policy
    assert policy.routes == (
        Route(name="billing", examples=("Refund please", "Why was I charged twice?"), threshold=0.6, models="near"),
        Route(
            name="code", examples=("Fix this bug",), aggregation="top3", kind="code", tier=Tier.HIGH, quality_loss=0.0
        ),
        Route(name="stored", models="paid"),
    )
    assert (policy.route_margin, policy.routes_in) == (0.1, "support")
    assert policy.tie_break == TieBreak(seconds=1, models="near")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("threshold: 0.6", "treshold: 0.6"), "line 10, policy.routes[0].treshold: unknown field; did you mean 'thres"),
        (("threshold: 0.6", "threshold: 1.6"), "line 10, policy.routes[0]: route 'billing': threshold must be from -1"),
        (("0.6, models: near", "0.6, models: naer"), "line 10, policy.routes[0].models: route 'billing' names the"),
        (("top3", "top4"), "line 13, policy.routes[1].aggregation: must be 'max', 'top3', 'mean', 'avg' or 'sum'"),
        (("name: code", "name: billing"), "line 11, policy.routes[1]: route names must be unique, got 'billing' twice"),
        (("Fix this bug", "refund  PLEASE"), "line 11, policy.routes[1]: the example 'refund  PLEASE' stands in"),
        (("  routes_in: support\n", ""), "line 16, policy.routes[2]: route 'stored' must have examples"),
        (("models: paid", "quality_loss: null"), "line 17, policy.routes[2]: route 'stored' must say `kind`, `models`"),
        (("in: support", "in: 'sr:x'"), "line 7, policy.routes_in: routes_in must not begin as the keys of this libr"),
        (("margin: 0.1", "margin: 3"), "line 5, policy: route_margin must be between 0 and 1, got 3.0"),
        (("seconds: 1,", "seconds: 90,"), "line 8, policy.tie_break: tie_break: seconds must be more than 0"),
        (("1, models: near", "1, models: nobody"), "line 8, policy.tie_break.models: tie_break names the unknown"),
    ],
)
def test_a_mistake_in_a_route_is_named_with_its_line(change: tuple[str, str], complaint: str, mistake: Mistake) -> None:
    assert mistake(ROUTES.replace(*change)).startswith(f"steprouter.yaml {complaint}")


ONE_MODEL = "models:\n  - {name: small, model: m, base_url: 'http://h/v1'}\n"


def test_probes_are_off_unless_the_file_allows_them(loaded: Load) -> None:
    assert loaded(ONE_MODEL).policy.probes is None
    allowed = loaded(f"{ONE_MODEL}policy: {{probes: {{share: 0.1, models: small}}}}\n").policy.probes
    assert allowed == Probes(share=0.1, models="small")
    assert loaded(f"{ONE_MODEL}policy: {{probes: {{}}}}\n").policy.probes == Probes()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{share: 2}", "share of probes must be between 0 and 1, got 2"),
        ("{models: smal}", "probes names the unknown model 'smal'; did you mean 'small'"),
        ("{judge: gpt}", "unknown field"),
    ],
)
def test_a_mistake_about_probes_is_named_with_its_line(wrong: str, said: str, loaded: Load) -> None:
    with pytest.raises(ConfigError, match=rf"line 3, policy\.probes.*{re.escape(said)}"):
        loaded(f"{ONE_MODEL}policy: {{probes: {wrong}}}\n")


def test_a_file_names_efforts_or_says_what_to_send_for_each_and_may_name_their_candidates(tmp_path: Path) -> None:
    file = tmp_path / "steprouter.yaml"
    file.write_text(
        "models:\n"
        "  - {name: gpt, model: openai:gpt-6-sol, efforts: [low, high]}\n"
        "  - {name: own, model: qwen, base_url: 'http://127.0.0.1:1/v1', efforts: {off: {}, on: {think: true}}}\n"
        "  - {name: one, model: openai:gpt-6-sol, efforts: low}\n"
        "policy:\n"
        "  reference: gpt@high\n"
        "  rules: [{name: hard, keyword: hard, models: [gpt@high, own]}]\n"
        "budget: [{usd: 1, fallback: own@off}]\n"
    )
    settings = load(file)
    assert [card.efforts for card in settings.models] == [("low", "high"), {"off": {}, "on": {"think": True}}, ("low",)]
    assert settings.policy.reference == "gpt@high"


@pytest.mark.parametrize(
    ("efforts", "said"),
    [
        ("3", "efforts of 'gpt' must be a list of names or settings by name, got 3"),
        ("{on: 3}", "must give settings for each name, got 3 for 'on'"),
        ("[low, low]", "got 'low' twice"),
    ],
)
def test_efforts_that_are_none_are_named_with_their_line(efforts: str, said: str, mistake: Mistake) -> None:
    message = mistake(f"models:\n  - name: gpt\n    model: openai:gpt-6-sol\n    efforts: {efforts}\n")
    assert message.startswith("steprouter.yaml line 2, models[0]: ")
    assert said in message
