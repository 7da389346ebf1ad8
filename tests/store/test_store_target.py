"""What a store setting means, and that its password is shown to nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.errors import ConfigError
from steprouter.store import connect
from steprouter.store.target import Target, masked, read_target

SECRET = "hunter2-sesame"


def test_embedded_means_the_server_of_the_environment_where_there_is_one() -> None:
    url = "redis://localhost:6379/1"
    assert read_target("embedded", {}) == Target(kind="embedded", shown="embedded")
    assert read_target("embedded", {"REDIS_URL": url}) == Target(
        kind="server", url=url, shown=f"{url} (from $REDIS_URL)"
    )
    assert read_target("memory", {"REDIS_URL": url}).kind == "memory"


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:6379/0",
        "rediss://user:word@host:6380/15?ssl_cert_reqs=none",
        "unix:///run/redis/s?db=3",
        "redis://[::1]:6379",
        "redis://:word@host?client_name=agent",
    ],
)
def test_a_sound_url_is_accepted_as_it_is(url: str) -> None:
    assert read_target(url, {}).url == url


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{SECRET}@host",
        f"redis:/u:{SECRET}@host",
        f"redis://u:{SECRET}@",
        f"redis://:{SECRET}",
        f"redis://u:{SECRET}@host:port",
        f"redis://u:{SECRET}@host:99999",
        f"redis://u:{SECRET}@host/db",
        f"redis://u:{SECRET}@host?db=x",
        f"redis://u:{SECRET}@host?socket_timeout=9",
        f"redis://host?password={SECRET}&ssl_cert_reqs=none",
        f"redis://u:{SECRET}@[::1",
        f"redis://u:{SECRET}@{'x' * 70}",
        f"unix://u:{SECRET}@",
        f"redis+cluster://u:{SECRET}@host",
        f"redis+sentinel://u:{SECRET}@one,two/mymaster",
        f"redis://u:{SECRET}/half@host:port",
        "",
        "Embedded",
    ],
)
def test_a_malformed_setting_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connect(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_cluster_and_sentinel_are_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"not support redis\+sentinel:// yet.*give the redis:// URL"):
        connect("redis+sentinel://host:26379/mymaster")


@given(st.text(st.characters(exclude_characters="/?#[]", exclude_categories=["Cs"]), min_size=1))
def test_a_password_of_any_form_is_masked(word: str) -> None:
    assert masked(f"redis://user:§{word}§@host:1/0") == "redis://user:***@host:1/0"


def test_no_repr_of_a_connection_shows_the_password() -> None:
    connection = connect(f"redis://u:{SECRET}@127.0.0.1:1")
    connection.open(wait_seconds=1.0)
    shown = f"{connection!r} {connection.target!r} {connection.degraded} {connection.link().clients!r}"
    assert SECRET not in shown
    assert "redis://u:***@127.0.0.1:1" in shown
    connection.close()


@pytest.mark.parametrize("name", ["deadline_seconds", "open_seconds", "grace_seconds"])
def test_a_negative_time_is_refused_before_anything_is_opened(name: str) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        connect("memory", **{name: -1.0})  # type: ignore[arg-type] # the name is one of the three
