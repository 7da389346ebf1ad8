"""Names of keys say nothing of whose they are, and are safe whatever an id holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.errors import ConfigError
from steprouter.store import Keys, load_secret

KEYS = Keys(secret=b"s" * 32)

HOSTILE = st.one_of(
    st.text(st.characters()),  # with lone surrogates
    st.sampled_from(["*", "{}", "{d}", "}:{", '"', "'", "\0", "\r\nFLUSHALL\r\n", "x" * 10_000, "\ud800", "é", "é"]),
)


@given(HOSTILE, HOSTILE)
def test_a_key_holds_only_what_no_pattern_or_parser_minds(tenant: str, thread: str) -> None:
    key = KEYS.tenant(tenant, "steps", thread)
    assert re.fullmatch(r"sr:\{t:[a-z2-7]{24}\}:steps:[a-z2-7]{24}", key)


@given(st.tuples(HOSTILE, HOSTILE), st.tuples(HOSTILE, HOSTILE))
def test_different_ids_never_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = {KEYS.tenant(tenant or None, "steps", thread) for tenant, thread in (one, other)}
    meant = {(tenant or "default", thread) for tenant, thread in (one, other)}
    assert len(keys) == len(meant)


def test_all_keys_of_a_tenant_share_one_hash_tag() -> None:
    tags = {KEYS.tenant("acme", label, "x").split("}")[0] for label in ("steps", "session", "cache")}
    assert len(tags) == 1
    assert KEYS.deployment("health", "model").startswith("sr:{d}:health:")


def test_a_missing_tenant_is_the_tenant_default() -> None:
    assert KEYS.tenant(None, "steps") == KEYS.tenant("", "steps") == KEYS.tenant("default", "steps")


def test_the_same_thread_has_unrelated_names_under_two_tenants_and_two_secrets() -> None:
    names = [
        KEYS.tenant("acme", "steps", "t-1"),
        KEYS.tenant("globex", "steps", "t-1"),
        Keys(secret=b"o" * 32).tenant("acme", "steps", "t-1"),
    ]
    assert len({name.rpartition(":")[2] for name in names}) == 3


@pytest.mark.parametrize("label", ["", "a:b", "*", "A", "a}", "1a", "a\n"])
def test_a_label_that_could_mean_something_else_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="label must be lower-case"):
        KEYS.tenant("acme", label)


def test_the_secret_is_in_no_repr() -> None:
    assert repr(KEYS) == "Keys()"


def test_the_secret_file_is_made_once_private_and_kept(tmp_path: Path) -> None:
    first = load_secret(tmp_path / "data", environment={})
    assert load_secret(tmp_path / "data", environment={}) == first
    assert len(first) == 32
    assert (tmp_path / "data" / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["key"]


def test_processes_that_come_first_together_agree_on_one_secret(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from steprouter.store import load_secret\n"
        "sys.stdin.read(1); print(load_secret(Path(sys.argv[1]), environment={}).hex())"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "data")]
    both = [subprocess.Popen(words, stdin=-1, stdout=-1, text=True) for _ in range(3)]
    assert len({process.communicate(".")[0] for process in both}) == 1


def test_a_given_secret_wins_over_environment_and_file(tmp_path: Path) -> None:
    environment = {"STEPROUTER_KEY": "from the environment"}
    given_one = load_secret(tmp_path, given="a given one, long", environment=environment)
    assert given_one != load_secret(tmp_path, environment=environment)
    assert not (tmp_path / "key").exists()


def test_a_short_secret_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 16 characters, got 6") as caught:
        load_secret(tmp_path, environment={"STEPROUTER_KEY": "sesame"})
    assert "sesame" not in str(caught.value)


def test_a_broken_key_file_is_refused_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("half a secr")
    with pytest.raises(ConfigError, match="64 hexadecimal digits") as caught:
        load_secret(tmp_path, environment={})
    assert "half" not in str(caught.value)


def test_no_place_for_the_key_file_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="set STEPROUTER_KEY"):
        load_secret(tmp_path / "file", environment={})
